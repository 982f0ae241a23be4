//! What a task manager shows of itself: figures in heartbeats, `/metrics`, logs, dump, profile.

use std::time::Duration;

use model::inspection::{CpuProfile, LogInfo, ProcessDump};
use proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::life::{Cluster, EPOCH, attempt, deployment};

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_served_where_asked_for() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    let addr = cluster.task_manager.metrics_addr.expect("a port was asked for");
    assert!(addr.ip().is_loopback() && addr.port() != 0);
    let answer = get(addr, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    for line in ["weir_taskmanager_slots{state=\"free\"} 1", "weir_taskmanager_tasks 1"] {
        assert!(answer.lines().any(|l| l == line), "{line} is not in\n{answer}");
    }
    use telemetry::catalog::{Role, all};
    for metric in all().filter(|m| m.role != Role::JobManager) {
        let kind = format!("# TYPE {} {}", metric.name, metric.kind.name());
        assert!(answer.lines().any(|l| l == kind), "{} is not in the scrape", metric.name);
    }
    assert!(get(addr, "/else").await.starts_with("HTTP/1.1 404"));
    let elsewhere = get(addr, "/metrics").await;
    assert!(!elsewhere.contains("weir_task_records"), "tasks are the job manager's to show");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_shown_by_id_and_dumps_name_tasks() {
    let mut cluster = Cluster::start().await;
    let task = attempt(0, 1);
    cluster.submit(EPOCH, &deployment(task, "endless")).await.unwrap();
    cluster.expect(task, &["INITIALIZING", "RUNNING"]).await;
    telemetry::log_ring().push("a line of the test");
    let logs = |log: &str| v1::GetLogsRequest {
        leader_epoch: EPOCH,
        log: log.to_owned(),
        tail_bytes: 1 << 20,
    };
    let answer = cluster.client.get_logs(logs("")).await.unwrap().into_inner();
    assert_eq!(answer.text, None);
    let list: Vec<LogInfo> = serde_json::from_slice(&answer.logs).unwrap();
    let text = cluster.client.get_logs(logs(&list[0].id)).await.unwrap().into_inner().text;
    assert!(text.unwrap().contains("a line of the test"));
    let path = cluster.client.get_logs(logs("/etc/passwd")).await.unwrap().into_inner();
    assert_eq!(path.text, None);

    let waiting = async {
        loop {
            let request = v1::DumpRequest { leader_epoch: EPOCH };
            let answer = cluster.client.dump(request).await.unwrap().into_inner();
            let dump: ProcessDump = serde_json::from_slice(&answer.dump).unwrap();
            assert_eq!(dump.tasks.len(), 1);
            assert_eq!((dump.tasks[0].job, dump.tasks[0].vertex), (task.job, task.vertex));
            assert!(dump.threads.iter().any(|t| t.name == "core-0"), "{dump:?}");
            if dump.tasks[0].doing == "waiting for input" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it has no input");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_has_bounds_and_an_epoch() {
    let mut cluster = Cluster::start().await;
    let mut profile = async |leader_epoch, seconds| {
        let request = v1::ProfileRequest { leader_epoch, seconds };
        cluster.client.profile(request).await
    };
    assert_eq!(profile(EPOCH, 0).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(profile(EPOCH, 3600).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(profile(EPOCH - 1, 1).await.unwrap_err().code(), Code::FailedPrecondition);
    let answer = profile(EPOCH, 1).await.unwrap().into_inner();
    let taken: CpuProfile = serde_json::from_slice(&answer.profile).unwrap();
    assert_eq!(taken.seconds, 1);
    assert_eq!(taken.samples, taken.stacks.iter().map(|s| s.count).sum::<u64>());
}
