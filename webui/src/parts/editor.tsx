// The code editor: CodeMirror in the theme's colours, with completion from the job file's JSON
// Schema and diagnostics at their places. Called by the submit view and the job file's tab.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { sql } from '@codemirror/lang-sql';
import { yaml } from '@codemirror/lang-yaml';
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic as Mark } from '@codemirror/lint';
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search';
import { EditorState, StateEffect, StateField, type Extension, type Text } from '@codemirror/state';
import { Decoration, drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, type DecorationSet } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'react';
import type { Diagnostic } from '../api/types';
import { completionsOf, type Schema } from './yaml-completion';

const colours = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--code-key)' },
  { tag: [tags.string, tags.content], color: 'var(--text)' },
  { tag: [tags.keyword, tags.operatorKeyword], color: 'var(--code-key)', fontWeight: '600' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--code-value)' },
  { tag: tags.typeName, color: 'var(--code-value)' },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--muted)' },
]);

const theme = EditorView.theme({
  '&': { backgroundColor: 'var(--surface)', color: 'var(--text)', fontSize: '13px' },
  '.cm-content': { fontFamily: 'var(--mono)', caretColor: 'var(--text)', padding: '8px 0' },
  '.cm-gutters': { backgroundColor: 'var(--surface)', color: 'var(--muted)', borderRight: '1px solid var(--border)' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--hover)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused': { outline: '2px solid var(--accent)', outlineOffset: '-2px' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': { backgroundColor: 'var(--selection)' },
  '.cm-tooltip': { backgroundColor: 'var(--raised)', color: 'var(--text)', border: '1px solid var(--border-strong)', borderRadius: '6px' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent)', color: 'var(--on-accent)' },
  '.cm-completionDetail': { color: 'inherit', opacity: '0.75', fontStyle: 'normal' },
  '.cm-marked': { backgroundColor: 'var(--marked)' },
  '.cm-panels': { backgroundColor: 'var(--raised)', color: 'var(--text)' },
});

const markLineEffect = StateEffect.define<number | null>();
const markedLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    let next = marks.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(markLineEffect)) continue;
      const line = effect.value;
      if (line === null || line > transaction.state.doc.lines) next = Decoration.none;
      else next = Decoration.set([Decoration.line({ class: 'cm-marked' }).range(transaction.state.doc.line(line).from)]);
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function place(doc: Text, line: number | null, column: number | null): number {
  const at = doc.line(Math.min(Math.max(line ?? 1, 1), doc.lines));
  return Math.min(at.from + Math.max(0, (column ?? 1) - 1), at.to);
}

function marksOf(doc: Text, diagnostics: Diagnostic[]): Mark[] {
  return diagnostics.map((d) => {
    const from = place(doc, d.line, d.column);
    const to = d.endLine !== null || d.endColumn !== null ? place(doc, d.endLine ?? d.line, d.endColumn) : from;
    const severity = d.severity === 'warning' ? 'warning' : d.severity === 'info' || d.severity === 'hint' ? 'info' : 'error';
    const message = `${d.code ? `${d.code}: ` : ''}${d.message}${d.help ? `\nhelp: ${d.help}` : ''}`;
    // A mark without length is not seen: take the rest of the word or line.
    return { from, to: to > from ? to : doc.lineAt(from).to, severity, message };
  });
}

interface Props {
  label: string;
  text: string;
  language: 'yaml' | 'sql';
  readOnly?: boolean;
  diagnostics?: Diagnostic[];
  schema?: Schema | null;
  markLine?: number | null;
  onChange?: (text: string) => void;
  onSubmit?: () => void;
  /** A double click on a line. */
  onLine?: (line: number) => void;
}

export function Editor(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const { language, readOnly = false } = props;

  useEffect(() => {
    if (!host.current) return;
    const extensions: Extension[] = [
      lineNumbers(),
      drawSelection(),
      bracketMatching(),
      syntaxHighlighting(colours),
      theme,
      markedLine,
      EditorView.lineWrapping,
      highlightSelectionMatches(),
      language === 'sql' ? sql() : yaml(),
      EditorView.contentAttributes.of({ 'aria-label': props.label }),
      EditorState.tabSize.of(2),
      indentUnit.of('  '),
      EditorView.domEventHandlers({
        dblclick: (event, editor) => {
          const at = editor.posAtCoords({ x: event.clientX, y: event.clientY });
          if (at !== null) latest.current.onLine?.(editor.state.doc.lineAt(at).number);
        },
      }),
    ];
    if (readOnly) {
      extensions.push(EditorState.readOnly.of(true), keymap.of([...searchKeymap, ...defaultKeymap]));
    } else {
      extensions.push(
        history(),
        indentOnInput(),
        closeBrackets(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        lintGutter(),
        autocompletion({
          activateOnTyping: true,
          override: language === 'yaml' ? [(context) => completionsOf(context, latest.current.schema ?? null)] : undefined,
        }),
        keymap.of([
          { key: 'Mod-Enter', run: () => (latest.current.onSubmit?.(), true) },
          ...closeBracketsKeymap,
          ...completionKeymap,
          ...defaultKeymap,
          ...searchKeymap,
          ...historyKeymap,
          ...lintKeymap,
          indentWithTab,
        ]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) latest.current.onChange?.(update.state.doc.toString());
        }),
      );
    }
    const editor = new EditorView({ state: EditorState.create({ doc: latest.current.text, extensions }), parent: host.current });
    // Scrolls by keyboard as any region does.
    editor.scrollDOM.tabIndex = 0;
    view.current = editor;
    return () => {
      editor.destroy();
      view.current = null;
    };
  }, [language, readOnly, props.label]);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== props.text) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: props.text } });
    }
  }, [props.text]);

  useEffect(() => {
    const editor = view.current;
    if (editor) editor.dispatch(setDiagnostics(editor.state, marksOf(editor.state.doc, props.diagnostics ?? [])));
  }, [props.diagnostics]);

  const { markLine = null } = props;
  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const effects: StateEffect<unknown>[] = [markLineEffect.of(markLine)];
    if (markLine !== null && markLine <= editor.state.doc.lines) {
      const at = editor.state.doc.line(markLine).from;
      effects.push(EditorView.scrollIntoView(at, { y: 'center' }));
      editor.dispatch({ effects, selection: readOnly ? undefined : { anchor: at } });
    } else editor.dispatch({ effects });
  }, [markLine, props.text, readOnly]);

  return <div className="editor" ref={host} />;
}
