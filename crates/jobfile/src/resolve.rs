//! Who reads from whom: input names to nodes, cycles, and nodes that reach no sink.
//! Called by `lib::plan` between reading and typing.

use crate::diagnostic::{Report, closest};
use crate::nodes::{Body, Name, NodeDef, Section};

/// Suffix that addresses a node's late rows.
pub(crate) const LATE: &str = ".late";

/// A resolved input of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) node: usize,
    /// The node's late rows or dead letters instead of its main output.
    pub(crate) side: bool,
}

/// The graph by node index.
pub(crate) struct Resolved {
    /// Every node after its inputs; in file order where the graph leaves a choice.
    pub(crate) order: Vec<usize>,
    /// Per node, per written input; `None` where the name is unknown (reported).
    pub(crate) inputs: Vec<Vec<Option<Target>>>,
    /// Per node, the sources whose dead letters it takes.
    pub(crate) dead_letters: Vec<Vec<usize>>,
}

/// `None` when there is a cycle.
pub(crate) fn resolve(nodes: &[NodeDef<'_>], report: &Report<'_>) -> Option<Resolved> {
    let mut resolved = Resolved {
        order: Vec::new(),
        inputs: vec![Vec::new(); nodes.len()],
        dead_letters: vec![Vec::new(); nodes.len()],
    };
    for (index, node) in nodes.iter().enumerate() {
        resolved.inputs[index] = node.inputs.iter().map(|n| input(nodes, n, report)).collect();
        if let Some(Body::Source(source)) = &node.body
            && let Some(name) = &source.dead_letter
            && let Some(sink) = dead_letter_sink(nodes, name, report)
        {
            resolved.dead_letters[sink].push(index);
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        count_inputs(node, !resolved.dead_letters[index].is_empty(), report);
    }
    check_uids(nodes, report);
    resolved.order = order(nodes, &resolved, report)?;
    warn_unused(nodes, &resolved, report);
    Some(resolved)
}

fn input(nodes: &[NodeDef<'_>], name: &Name, report: &Report<'_>) -> Option<Target> {
    let find = |wanted: &str| nodes.iter().position(|n| n.name.value == wanted);
    let (node, side) = match find(&name.value) {
        Some(node) => (node, false),
        None => match name.value.strip_suffix(LATE).and_then(find) {
            Some(node) => (node, true),
            None => {
                unknown(nodes, name, report);
                return None;
            }
        },
    };
    if nodes[node].section == Section::Sink {
        let message = format!("`{}` is a sink, which has no output", name.value);
        report.add_help("E0201", &name.span, message, "read from the sink's own input instead");
        return None;
    }
    if side {
        match &nodes[node].body {
            Some(Body::Window(window)) if window.late_output => {}
            Some(Body::Window(_)) => {
                let node = &nodes[node].name.value;
                let message = format!("`{node}` does not put out its late rows");
                let help = format!("write `lateOutput: true` at `{node}`");
                report.add_help("E0206", &name.span, message, help);
                return None;
            }
            Some(_) => {
                let message = format!("`{}` has no late rows", nodes[node].name.value);
                let help = "only a `window` transform puts out late rows";
                report.add_help("E0206", &name.span, message, help);
                return None;
            }
            None => return None,
        }
    }
    Some(Target { node, side })
}

fn unknown(nodes: &[NodeDef<'_>], name: &Name, report: &Report<'_>) {
    let known: Vec<&str> = nodes
        .iter()
        .filter(|n| n.section != Section::Sink)
        .map(|n| n.name.value.as_str())
        .collect();
    let label = closest(&name.value, known.iter().copied()).map(|n| format!("did you mean `{n}`?"));
    let help = match known.is_empty() {
        true => "there are no sources and transforms".to_owned(),
        false => format!("there are: {}", known.join(", ")),
    };
    let message = format!("unknown input `{}`", name.value);
    report.add_full("E0201", &name.span, message, (label, Some(help)));
}

fn dead_letter_sink(nodes: &[NodeDef<'_>], name: &Name, report: &Report<'_>) -> Option<usize> {
    let sinks = || nodes.iter().enumerate().filter(|(_, n)| n.section == Section::Sink);
    if let Some((index, _)) = sinks().find(|(_, n)| n.name.value == name.value) {
        return Some(index);
    }
    let names: Vec<&str> = sinks().map(|(_, n)| n.name.value.as_str()).collect();
    let label = closest(&name.value, names.iter().copied()).map(|n| format!("did you mean `{n}`?"));
    let help = format!("`deadLetter` names a sink; there are: {}", names.join(", "));
    let message = format!("unknown sink `{}`", name.value);
    report.add_full("E0201", &name.span, message, (label, Some(help)));
    None
}

fn count_inputs(node: &NodeDef<'_>, takes_dead_letters: bool, report: &Report<'_>) {
    let count = node.inputs.len();
    if node.inputs_missing || node.section == Section::Source {
        return;
    }
    let at = node.inputs.get(1).map_or(&node.name.span, |n| &n.span);
    match &node.body {
        Some(Body::WindowJoin { .. } | Body::IntervalJoin { .. }) if count != 2 => {
            let message = format!("`{}` needs two inputs, but has {count}", node.name.value);
            let help = "a join reads from the left and the right input: `inputs: [left, right]`";
            report.add_help("E0203", &node.name.span, message, help);
        }
        Some(Body::WindowJoin { .. } | Body::IntervalJoin { .. } | Body::Source(_)) => {}
        Some(Body::Sink { .. }) if takes_dead_letters => {}
        None if node.section == Section::Source || count > 0 => {}
        Some(_) | None if count == 0 => {
            let message = format!("`{}` has no input", node.name.value);
            report.add_help(
                "E0203",
                &node.name.span,
                message,
                "name the nodes to read from: `inputs: [name]`",
            );
        }
        Some(Body::Union | Body::Sink { .. }) | None => {}
        Some(_) if count > 1 => {
            let message = format!("`{}` takes one input, but has {count}", node.name.value);
            report.add_help(
                "E0203",
                at,
                message,
                "bring them together in a `union` transform before",
            );
        }
        Some(_) => {}
    }
}

fn check_uids(nodes: &[NodeDef<'_>], report: &Report<'_>) {
    for (index, node) in nodes.iter().enumerate() {
        let Some(uid) = &node.uid else { continue };
        let clash = nodes.iter().enumerate().find(|(other, n)| {
            n.uid() == uid.value && (*other < index || (*other > index && n.uid.is_none()))
        });
        if let Some((_, other)) = clash {
            let message = format!("uid `{}` is used twice", uid.value);
            let label = Some(format!("also the uid of `{}`", other.name.value));
            let help = Some("a uid names the state of one node; choose another".into());
            report.add_full("E0204", &uid.span, message, (label, help));
        }
    }
}

/// Everything that `node` reads from.
fn reads<'a>(resolved: &'a Resolved, node: usize) -> impl Iterator<Item = usize> + 'a {
    let inputs = resolved.inputs[node].iter().flatten().map(|t| t.node);
    inputs.chain(resolved.dead_letters[node].iter().copied())
}

/// Depth-first, without recursion: a chain of thousands of nodes is fine.
fn order(nodes: &[NodeDef<'_>], resolved: &Resolved, report: &Report<'_>) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for root in 0..nodes.len() {
        if marks[root] != Mark::New {
            continue;
        }
        let mut path: Vec<(usize, Vec<usize>)> = vec![(root, reads(resolved, root).collect())];
        path[0].1.reverse();
        marks[root] = Mark::Open;
        while let Some((node, left)) = path.last_mut() {
            let node = *node;
            match left.pop() {
                None => {
                    marks[node] = Mark::Done;
                    order.push(node);
                    path.pop();
                }
                Some(next) if marks[next] == Mark::New => {
                    marks[next] = Mark::Open;
                    let mut inputs: Vec<usize> = reads(resolved, next).collect();
                    inputs.reverse();
                    path.push((next, inputs));
                }
                Some(next) if marks[next] == Mark::Open => {
                    let open: Vec<usize> = path.iter().map(|(n, _)| *n).collect();
                    cycle(nodes, &open, next, report);
                    return None;
                }
                Some(_) => {}
            }
        }
    }
    Some(order)
}

fn cycle(nodes: &[NodeDef<'_>], open: &[usize], back_to: usize, report: &Report<'_>) {
    let start = open.iter().position(|n| *n == back_to).unwrap_or(0);
    // The path was walked against the flow of rows.
    let mut names: Vec<&str> =
        open[start..].iter().rev().map(|n| nodes[*n].name.value.as_str()).collect();
    if let Some(first) = names.first().copied() {
        names.push(first);
    }
    let reader = open.last().map_or(back_to, |n| *n);
    let written = nodes[reader].inputs.iter().find(|n| {
        n.value == nodes[back_to].name.value
            || n.value.strip_suffix(LATE) == Some(nodes[back_to].name.value.as_str())
    });
    let at = written.map_or(&nodes[reader].name.span, |n| &n.span);
    let message = format!("the graph has a cycle: {}", names.join(" -> "));
    report.add_help("E0202", at, message, "remove one of these inputs; a stream job has no loops");
}

fn warn_unused(nodes: &[NodeDef<'_>], resolved: &Resolved, report: &Report<'_>) {
    let mut used = vec![false; nodes.len()];
    for &node in resolved.order.iter().rev() {
        used[node] |= nodes[node].section == Section::Sink;
        if used[node] {
            // Dead letters alone do not make a source useful.
            for target in resolved.inputs[node].iter().flatten() {
                used[target.node] = true;
            }
        }
    }
    for (node, used) in nodes.iter().zip(used) {
        if !used {
            let message =
                format!("nothing of {} `{}` reaches a sink", node.section.word(), node.name.value);
            report.add_help(
                "W0101",
                &node.name.span,
                message,
                "it will not run; read from it, or remove it",
            );
        }
    }
}
