//! Makes a running task of a deployment: fetches its state, opens its inputs, its operators
//! and its outputs. Called by `task.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use model::deployment::{ChannelId, OutputDeployment, TaskDeployment};
use model::job_graph::OperatorNode;
use model::operator_spec::OperatorSpec;
use model::sink::{SinkWriter, WriterContext};
use model::source::ReaderContext;
use model::{CheckpointId, Error, Result, Watermark};
use state::{StateStore, StoreOptions};

use crate::chain::{Chain, Link};
use crate::channel::Exchange;
use crate::input_gate::{GateChannel, InputGate};
use crate::lookup::LookupTable;
use crate::operator::OperatorContext;
use crate::operators;
use crate::partitioner::{Partitioner, output_schema};
use crate::result_partition::ResultPartition;
use crate::source_head::{SourceContext, SourceHead};
use crate::source_progress::SourceProgress;
use crate::tail::Tail;
use crate::task::TaskSetup;
use crate::task_loop::{Head, TaskLoop};
use crate::upload::{self, UploadContext, Uploads};

/// Keeps the task's channels registered for as long as it lives.
pub(crate) struct Registration {
    exchange: Arc<dyn Exchange>,
    channels: Vec<ChannelId>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.unregister(&self.channels);
    }
}

/// Opens everything. Inputs come first, so that producers find them while state is
/// restored, and so that no two tasks wait for each other; outputs come last.
pub(crate) async fn open(mut setup: TaskSetup) -> Result<TaskLoop> {
    // Before anything else: the other readers of its group wait for this one from now on.
    let progress = source_progress(&setup)?;
    let (head, registration) = open_head(&setup, progress.as_ref())?;
    let restoring_from_us = setup.clock.now_us();
    let restored = restore(&mut setup).await?;
    let tables = lookup_tables(&setup).await?;
    let chain = Chain::open(links(&setup, restored, tables, progress.as_ref())?)?;
    let chain = chain.watched_by(Arc::clone(&setup.metrics)).tapped_by(Arc::clone(&setup.taps));
    let restore_us = setup.clock.now_us() - restoring_from_us;
    setup.metrics.set_restore_us(u64::try_from(restore_us).unwrap_or(0));
    if let Some(delay_ms) = watermark_delay_ms(&setup.deployment) {
        setup.metrics.set_watermark_delay_ms(delay_ms);
    }
    let partitions = try_join_all(setup.deployment.outputs.iter().map(|o| connect(&setup, o)));
    let partitions = partitions.await?;
    let is_source = setup.deployment.vertex.is_source();
    let tail = Tail::new(partitions, open_sink(&setup)?, Arc::clone(&setup.metrics), is_source);
    let uploads = Uploads::new(UploadContext {
        attempt: setup.deployment.attempt,
        key_groups: setup.deployment.key_groups,
        store: setup.checkpoints,
        control: setup.control,
        clock: Arc::clone(&setup.clock),
        io: setup.io,
    });
    Ok(TaskLoop::new(crate::task_loop::Parts {
        head,
        _registration: registration,
        chain,
        tail,
        uploads,
        commands: setup.commands,
        clock: setup.clock,
        metrics: setup.metrics,
        dead_letters: dead_letter_output(&setup.deployment),
        source_uid: uid_where(&setup.deployment, |s| matches!(s, OperatorSpec::Source { .. })),
        sink_uid: uid_where(&setup.deployment, |s| matches!(s, OperatorSpec::Sink { .. })),
    }))
}

fn uid_where(deployment: &TaskDeployment, is: impl Fn(&OperatorSpec) -> bool) -> Option<String> {
    let mut operators = deployment.vertex.operators.iter();
    operators.find(|o| is(&o.spec)).map(|o| o.uid.clone())
}

/// How far a source task's watermark lies below the newest time it read.
fn watermark_delay_ms(deployment: &TaskDeployment) -> Option<i64> {
    let mut operators = deployment.vertex.operators.iter();
    let delay = operators.find_map(|o| match &o.spec {
        OperatorSpec::Watermark { delay_ms, .. } => Some(*delay_ms),
        _ => None,
    });
    delay.filter(|_| deployment.vertex.is_source())
}

/// For a source task, with its place in its alignment group.
fn source_progress(setup: &TaskSetup) -> Result<Option<Arc<SourceProgress>>> {
    let deployment = &setup.deployment;
    let OperatorSpec::Source { alignment, .. } = &first_operator(deployment)?.spec else {
        return Ok(None);
    };
    let aligned = alignment.as_ref().map(|config| {
        let mut aligned = setup.alignment.join(&deployment.attempt, config);
        let every = u64::try_from(config.update_interval_ms).unwrap_or(1).max(1);
        let control = Arc::clone(&setup.control);
        let every = std::time::Duration::from_millis(every);
        aligned.report(deployment.attempt, every, control, &setup.io);
        aligned
    });
    Ok(Some(Arc::new(SourceProgress::new(setup.clock.now_ms(), aligned))))
}

fn open_head(
    setup: &TaskSetup,
    progress: Option<&Arc<SourceProgress>>,
) -> Result<(Head, Option<Registration>)> {
    let deployment = &setup.deployment;
    let first = first_operator(deployment)?;
    if let (OperatorSpec::Source { source, .. }, Some(progress)) = (&first.spec, progress) {
        let source = setup.connectors.source(source)?;
        let reader = source.reader(ReaderContext {
            subtask: deployment.attempt.subtask.0,
            parallelism: deployment.vertex.parallelism,
            clock: Arc::clone(&setup.clock),
        })?;
        let last = deployment.restore.as_ref().map_or(CheckpointId(0), |r| r.checkpoint);
        let context = SourceContext {
            attempt: deployment.attempt,
            last_checkpoint: last,
            progress: Arc::clone(progress),
            clock: Arc::clone(&setup.clock),
            control: Arc::clone(&setup.control),
            io: setup.io.clone(),
        };
        let head = SourceHead::new(reader, context);
        return Ok((Head::Source(head), None));
    }
    let mut channels = Vec::new();
    let mut ids = Vec::new();
    for input in &deployment.inputs {
        let schema = first.inputs.get(input.port).ok_or_else(|| {
            Error::internal(format!("`{}` has no input port {}", first.name, input.port))
        })?;
        for producer in &input.producers {
            channels.push(GateChannel { port: input.port, schema: Arc::clone(schema) });
            ids.push(ChannelId {
                job: deployment.attempt.job,
                attempt: deployment.attempt.attempt,
                edge: input.edge,
                from: *producer,
                to: deployment.attempt.subtask,
            });
        }
    }
    if channels.is_empty() {
        return Err(Error::internal("the deployment names no producer and no source"));
    }
    let gate = InputGate::new(channels, Arc::clone(&setup.clock));
    setup.exchange.register_gate(ids.clone(), gate.handle());
    let exchange = Arc::clone(&setup.exchange);
    Ok((Head::Gate(gate), Some(Registration { exchange, channels: ids })))
}

fn first_operator(deployment: &TaskDeployment) -> Result<&OperatorNode> {
    let first = deployment.vertex.operators.first();
    first.ok_or_else(|| Error::internal("the deployment has no operator"))
}

async fn restore(setup: &mut TaskSetup) -> Result<BTreeMap<String, Vec<Bytes>>> {
    let Some(restore) = setup.deployment.restore.take() else { return Ok(BTreeMap::new()) };
    let fetch = upload::fetch(restore, Arc::clone(&setup.checkpoints));
    let fetched = setup.io.spawn(fetch).await;
    fetched.map_err(|e| Error::internal("fetching state panicked; see the log").caused_by(e))?
}

/// By the operator's uid, the tables that rows are looked up in.
async fn lookup_tables(setup: &TaskSetup) -> Result<BTreeMap<String, LookupTable>> {
    let mut tables = BTreeMap::new();
    for node in &setup.deployment.vertex.operators {
        let OperatorSpec::LookupJoin(join) = &node.spec else { continue };
        let source = setup.connectors.source(&join.table)?;
        let clock = Arc::clone(&setup.clock);
        let table = LookupTable::open(source, join.refresh_ms, clock, &setup.io).await;
        let table = table.map_err(|e| e.at(format!("read the table of `{}`", node.name)))?;
        tables.insert(node.uid.clone(), table);
    }
    Ok(tables)
}

/// The operators between the source and the sink.
fn links(
    setup: &TaskSetup,
    mut restored: BTreeMap<String, Vec<Bytes>>,
    mut tables: BTreeMap<String, LookupTable>,
    progress: Option<&Arc<SourceProgress>>,
) -> Result<Vec<Link>> {
    let nodes = setup.deployment.vertex.operators.iter().enumerate();
    // The first watermark operator of the chain speaks for the source.
    let mut progress = progress.cloned();
    nodes
        .filter(|(_, n)| !matches!(n.spec, OperatorSpec::Source { .. } | OperatorSpec::Sink { .. }))
        .map(|(index, node)| {
            let files = restored.remove(&node.uid).unwrap_or_default();
            let is_watermark = matches!(node.spec, OperatorSpec::Watermark { .. });
            let source = if is_watermark { progress.take() } else { None };
            let mut link = link(setup, index, node, files)
                .map_err(|e| e.at(format!("open `{}`", node.name)))?;
            if let Some(source) = source {
                link.operator.follow(source);
            }
            if let Some(table) = tables.remove(&node.uid) {
                link.operator.look_up_in(table);
            }
            Ok(link)
        })
        .collect()
}

fn link(setup: &TaskSetup, index: usize, node: &OperatorNode, files: Vec<Bytes>) -> Result<Link> {
    let deployment = &setup.deployment;
    let stateful = node.spec.is_stateful();
    let cold = if stateful {
        let attempt = &deployment.attempt;
        let name = format!(
            "{}-{}-{}-{}-{index}",
            attempt.job, attempt.vertex, attempt.subtask, attempt.attempt
        );
        setup.backend.cold_store(&name)?
    } else {
        None
    };
    let state = StateStore::open(
        StoreOptions {
            uid: node.uid.clone(),
            key_groups: deployment.key_groups,
            max_parallelism: deployment.max_parallelism,
            memory_bytes: deployment.state.memory_bytes,
            cold,
        },
        files,
    )?;
    let side = deployment.vertex.side_outputs.iter().position(|s| s.operator == index);
    Ok(Link {
        name: node.name.clone(),
        uid: node.uid.clone(),
        operator: operators::build(node, &setup.expressions)?,
        ctx: OperatorContext {
            state,
            watermark: Watermark::MIN,
            clock: Arc::clone(&setup.clock),
            expressions: Arc::clone(&setup.expressions),
            subtask: deployment.attempt.subtask.0,
            parallelism: deployment.vertex.parallelism,
            max_parallelism: deployment.max_parallelism,
            key_groups: deployment.key_groups,
        },
        side_output: side.map(|s| s + 1),
        stateful: stateful || matches!(node.spec, OperatorSpec::Watermark { .. }),
    })
}

/// The chain's output for the dead letters of its source.
fn dead_letter_output(deployment: &TaskDeployment) -> Option<usize> {
    let is_source = deployment.vertex.is_source();
    let side = deployment.vertex.side_outputs.iter().position(|s| s.operator == 0);
    side.filter(|_| is_source).map(|s| s + 1)
}

async fn connect(setup: &TaskSetup, output: &OutputDeployment) -> Result<ResultPartition> {
    let deployment = &setup.deployment;
    let schema = output_schema(&deployment.vertex, output.output)?;
    let subtask = deployment.attempt.subtask;
    let partitioner = Partitioner::new(output, &schema, deployment.max_parallelism, subtask.0)?;
    let channels = output.consumers.iter().map(|consumer| {
        let channel = ChannelId {
            job: deployment.attempt.job,
            attempt: deployment.attempt.attempt,
            edge: output.edge,
            from: subtask,
            to: consumer.subtask,
        };
        setup.exchange.connect(channel, &consumer.data_addr)
    });
    let senders = try_join_all(channels).await?;
    let (clock, metrics) = (Arc::clone(&setup.clock), Arc::clone(&setup.metrics));
    Ok(ResultPartition::new(output.output, partitioner, senders, clock, metrics))
}

fn open_sink(setup: &TaskSetup) -> Result<Option<Box<dyn SinkWriter>>> {
    let deployment = &setup.deployment;
    let Some(OperatorNode { uid, name, spec: OperatorSpec::Sink { sink }, .. }) =
        deployment.vertex.operators.last()
    else {
        return Ok(None);
    };
    let context = WriterContext {
        attempt: deployment.attempt,
        name: name.clone(),
        uid: uid.clone(),
        parallelism: deployment.vertex.parallelism,
        clock: Arc::clone(&setup.clock),
    };
    let sink = setup.connectors.sink(sink)?;
    if sink.collects() {
        return Ok(Some(setup.taps.results.writer()));
    }
    let writer = sink.writer(context);
    writer.map(Some).map_err(|e| e.at(format!("open sink `{name}`")))
}
