{{/* Names, labels and the parts that both roles share. */}}

{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "weir.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weir.jobmanager" -}}{{ include "weir.fullname" . }}-jobmanager{{- end -}}
{{- define "weir.taskmanager" -}}{{ include "weir.fullname" . }}-taskmanager{{- end -}}
{{/* The service that has the RPC port. */}}
{{- define "weir.jobmanagerRpc" -}}
{{- include "weir.jobmanager" . }}{{ if ne .Values.jobmanager.service.type "ClusterIP" }}-rpc{{ end }}
{{- end -}}
{{- define "weir.accessSecret" -}}
{{- .Values.access.existingSecret | default (printf "%s-access" (include "weir.fullname" .)) -}}
{{- end -}}

{{/* The key with the one token that Prometheus sends. */}}
{{- define "weir.scrapeTokenKey" -}}
{{- $keys := .Values.access.keys -}}
{{- $keys.scrapeToken | default (ternary $keys.apiToken "scrape-token" (ne .Values.access.existingSecret "")) -}}
{{- end -}}

{{- define "weir.image" -}}
{{- $name := .Values.image.repository -}}
{{- if .Values.image.registry -}}{{- $name = printf "%s/%s" .Values.image.registry $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors. Argument: dict root, component. */}}
{{- define "weir.selectorLabels" -}}
app.kubernetes.io/name: {{ include "weir.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- if .component }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}

{{- define "weir.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "weir.selectorLabels" . }}
app.kubernetes.io/part-of: weir
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object. Argument: dict root, component, name, annotations, labels. */}}
{{- define "weir.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "weir.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "weir.serviceAccount" -}}
{{- $role := index .root.Values .component -}}
{{- if $role.serviceAccount.create -}}
{{- $role.serviceAccount.name | default (include (printf "weir.%s" .component) .root) -}}
{{- else -}}
{{- $role.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "weir.checkpointsUri" -}}
{{- required "checkpoints.uri is required: s3://bucket/prefix, or file:///checkpoints/... with checkpoints.existingClaim.name" .Values.checkpoints.uri -}}
{{- end -}}

{{/* Names under which the API is reached. */}}
{{- define "weir.allowedHosts" -}}
{{- $service := include "weir.jobmanager" . -}}
{{- $hosts := list $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s.svc.cluster.local" $service .Release.Namespace) -}}
{{- if .Values.ingress.enabled -}}
{{- range .Values.ingress.hosts -}}{{- $hosts = append $hosts .host -}}{{- end -}}
{{- end -}}
{{- if .Values.httpRoute.enabled -}}
{{- range .Values.httpRoute.hostnames -}}
{{- if hasPrefix "*" . -}}{{- fail (printf "httpRoute.hostnames: `%s` names no host; list the names that people use" .) -}}{{- end -}}
{{- $hosts = append $hosts . -}}
{{- end -}}
{{- end -}}
{{- concat $hosts .Values.access.allowedHosts | uniq | join "," -}}
{{- end -}}

{{/* Environment of both roles: the object store. */}}
{{- define "weir.env" -}}
- name: WEIR_LOG
  value: {{ .Values.log.filter | quote }}
- name: WEIR_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- with .Values.checkpoints.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.checkpoints.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if not (kindIs "invalid" .Values.checkpoints.pathStyle) }}
- name: AWS_VIRTUAL_HOSTED_STYLE_REQUEST
  value: {{ not .Values.checkpoints.pathStyle | quote }}
{{- end }}
{{- if .Values.checkpoints.caSecret.name }}
- name: SSL_CERT_FILE
  value: /etc/weir/ca/{{ .Values.checkpoints.caSecret.key }}
{{- end }}
{{- if .Values.checkpoints.existingSecret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ .Values.checkpoints.existingSecret }}
      key: {{ .Values.checkpoints.keys.accessKeyId }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.checkpoints.existingSecret }}
      key: {{ .Values.checkpoints.keys.secretAccessKey }}
{{- end }}
{{- end -}}

{{/* Whole environments of a role's container. Argument: dict root, component. */}}
{{- define "weir.envFrom" -}}
{{- $role := index .root.Values .component -}}
{{- $from := list -}}
{{- with .root.Values.existingConfigMap -}}
{{- $from = append $from (dict "configMapRef" (dict "name" .)) -}}
{{- end -}}
{{- with concat $from $role.extraEnvFrom -}}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Pod fields that are only passed through. Argument: dict root, component. */}}
{{- define "weir.podFields" -}}
{{- $role := index .root.Values .component -}}
serviceAccountName: {{ include "weir.serviceAccount" . }}
automountServiceAccountToken: {{ $role.serviceAccount.automountServiceAccountToken }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $role.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $constraint := deepCopy . }}
  {{- if not (hasKey $constraint "labelSelector") }}
  {{- $_ := set $constraint "labelSelector" (dict "matchLabels" (include "weir.selectorLabels" $ | fromYaml)) }}
  {{- end }}
  {{- list $constraint | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $role.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Volume mounts of both roles. Argument: dict root, component. */}}
{{- define "weir.volumeMounts" -}}
{{- $role := index .root.Values .component -}}
- name: access
  mountPath: /etc/weir/access
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .root.Values.checkpoints.caSecret.name }}
- name: ca
  mountPath: /etc/weir/ca
  readOnly: true
{{- end }}
{{- if .root.Values.checkpoints.existingClaim.name }}
- name: checkpoints
  mountPath: {{ .root.Values.checkpoints.existingClaim.mountPath }}
{{- end }}
{{- with $role.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "weir.volumes" -}}
{{- $role := index .root.Values .component -}}
- name: access
  secret:
    secretName: {{ include "weir.accessSecret" .root }}
    defaultMode: 0440
    items:
      - key: {{ .root.Values.access.keys.apiToken }}
        path: api-token
      - key: {{ .root.Values.access.keys.clusterSecret }}
        path: cluster-secret
- name: tmp
  emptyDir: {}
{{- with .root.Values.checkpoints.caSecret }}
{{- if .name }}
- name: ca
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .root.Values.checkpoints.existingClaim.name }}
- name: checkpoints
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- with $role.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pod metadata. Argument: dict root, component. */}}
{{- define "weir.podMetadata" -}}
{{- $role := index .root.Values .component -}}
labels:
  {{- include "weir.labels" . | nindent 2 }}
  {{- with $role.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) $role.podAnnotations .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
