//! Operator scripts: rows in and out as text. For tests only; called by the tests of every
//! operator.
//!
//! ```text
//! > a 1 @1s            a row into port 0 (rows next to each other make one batch)
//! >1 a 2 @2s           a row into port 1
//! > +I a 1             on a changelog input the row kind comes first
//! > batch              ends a batch
//! > watermark 10s      also `max`
//! > flush              inputs ran dry
//! > wakeup 5s          processing time is 5 s now
//! > restore            snapshots all state and goes on with fresh operators
//! > restore 3          ... at parallelism 3
//! > end                end of input: watermark max, then finish
//! < +I a 1 @1s         expected output, in order
//! < watermark 10s
//! < idle
//! <side a 1 @1s        expected in the side output
//! ```
//!
//! Values stand in column order; `null`, "quoted text" and `@10s` (time; also `@1500ms`,
//! `@2m`, `@1h`) are understood. A time is equal to its number of milliseconds. What a
//! step puts out is compared with the lines that follow it, in order at parallelism 1.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType, UInt8Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use model::expression::{Expression, ExpressionError, Expressions};
use model::row_kind::{self, RowKind};
use model::{ManualClock, Result, StreamElement, Watermark, key_group};
use state::contract::ChainFiles;
use state::{StateStore, StoreOptions};

use crate::operator::{Operator, OperatorContext, Output};

/// Number of key groups in scripts.
pub const MAX_PARALLELISM: u32 = 128;

/// Runs a script at parallelism 1. `make` makes a fresh operator (again at every restore).
pub fn check(make: impl Fn() -> Result<Box<dyn Operator>>, inputs: &[SchemaRef], script: &str) {
    let keys = vec![Vec::new(); inputs.len()];
    run(Harness::new(&make, keys), inputs, script);
}

/// As [`check`]; `keys` are the key columns of every input, by which rows find their subtask
/// after `restore N`.
pub fn check_keyed(
    make: impl Fn() -> Result<Box<dyn Operator>>,
    inputs: &[SchemaRef],
    keys: &[&[&str]],
    script: &str,
) {
    let index = |(input, keys): (&SchemaRef, &&[&str])| -> Vec<usize> {
        keys.iter().map(|key| input.index_of(key).expect("a key column")).collect()
    };
    let keys = inputs.iter().zip(keys).map(index).collect();
    run(Harness::new(&make, keys), inputs, script);
}

/// `k STRING, v BIGINT NOT NULL, t TIMESTAMP, $row_kind`. Types: STRING, BIGINT, INT, DOUBLE,
/// BOOLEAN, TIMESTAMP (ms). Nullable unless said otherwise.
pub fn schema(columns: &str) -> SchemaRef {
    let field = |column: &str| {
        let words: Vec<&str> = column.split_whitespace().collect();
        let [name, rest @ ..] = &words[..] else { panic!("an empty column in `{columns}`") };
        if *name == row_kind::COLUMN {
            return row_kind::field();
        }
        let data_type = match rest.first().copied() {
            Some("STRING") => DataType::Utf8,
            Some("BIGINT") => DataType::Int64,
            Some("INT") => DataType::Int32,
            Some("DOUBLE") => DataType::Float64,
            Some("BOOLEAN") => DataType::Boolean,
            Some("TIMESTAMP") => DataType::Timestamp(TimeUnit::Millisecond, None),
            other => panic!("unknown type {other:?} in `{columns}`"),
        };
        Field::new(*name, data_type, rest.get(1..) != Some(&["NOT", "NULL"]))
    };
    Arc::new(Schema::new(columns.split(',').map(field).collect::<Vec<_>>()))
}

/// Rows from text, one a line, as in a script.
pub fn rows(schema: &SchemaRef, lines: &[&str]) -> RecordBatch {
    let changelog = row_kind::is_changelog(schema);
    let mut cells: Vec<Vec<String>> = lines.iter().map(|line| tokens(line)).collect();
    if changelog {
        // The kind is written first and stored last.
        cells.iter_mut().for_each(|row| row.rotate_left(1));
    }
    let width = schema.fields().len();
    for (row, line) in cells.iter().zip(lines) {
        assert_eq!(row.len(), width, "`{line}` does not have {width} columns");
    }
    let column = |(index, field): (usize, &Arc<Field>)| -> ArrayRef {
        let cells = cells.iter().map(|row| row[index].as_str());
        if field.name() == row_kind::COLUMN {
            return Arc::new(cells.map(|c| Some(kind(c) as u8)).collect::<UInt8Array>());
        }
        let text = cells.map(|c| if c == "null" { None } else { Some(number_of_time(c)) });
        if matches!(field.data_type(), DataType::Timestamp(_, _)) {
            let ms: Int64Array =
                text.map(|t| t.map(|t| t.parse::<i64>().expect("a time"))).collect();
            let ms = cast(&ms, &DataType::Timestamp(TimeUnit::Millisecond, None)).unwrap();
            return cast(&ms, field.data_type()).unwrap();
        }
        let text: StringArray = text.collect();
        let array = cast(&text, field.data_type()).unwrap();
        assert_eq!(array.null_count(), text.null_count(), "a bad value for `{}`", field.name());
        array
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn kind(text: &str) -> RowKind {
    (0..4)
        .filter_map(RowKind::from_u8)
        .find(|kind| kind.short() == text)
        .unwrap_or_else(|| panic!("`{text}` is no row kind"))
}

/// Words, and text in double quotes.
fn tokens(line: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (token, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        tokens.push(token.to_owned());
        rest = tail.trim_start();
    }
    tokens
}

/// `@1s` as `1000`; anything else as it is.
fn number_of_time(token: &str) -> String {
    match token.strip_prefix('@') {
        Some(time) => millis(time).to_string(),
        None => token.to_owned(),
    }
}

/// `10s`, `1500ms`, `2m`, `1h`, a number of ms, `max`.
pub fn millis(text: &str) -> i64 {
    if text == "max" {
        return i64::MAX;
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().unwrap_or_else(|_| panic!("`{text}` is no time"));
    number
        * match &text[digits.len()..] {
            "" | "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            unit => panic!("unknown unit `{unit}` in `{text}`"),
        }
}

/// The rows of a batch as a script writes them.
pub fn print_rows(batch: &RecordBatch) -> Vec<String> {
    let changelog = row_kind::is_changelog(batch.schema_ref());
    let width = batch.num_columns() - usize::from(changelog);
    let mut lines = vec![String::new(); batch.num_rows()];
    if changelog {
        let kinds = batch.column(width).as_primitive::<UInt8Type>();
        for (line, kind) in lines.iter_mut().zip(kinds.values()) {
            line.push_str(RowKind::from_u8(*kind).expect("a row kind").short());
        }
    }
    for column in &batch.columns()[..width] {
        for (row, cell) in print_cells(column).into_iter().enumerate() {
            if !lines[row].is_empty() {
                lines[row].push(' ');
            }
            lines[row].push_str(&cell);
        }
    }
    lines
}

fn print_cells(column: &ArrayRef) -> Vec<String> {
    let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
    let time = matches!(column.data_type(), DataType::Timestamp(_, _))
        .then(|| cast(&cast(column, &ms).unwrap(), &DataType::Int64).unwrap());
    let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default()).unwrap();
    let cell = |row| {
        if column.is_null(row) {
            return "null".to_owned();
        }
        if let Some(time) = &time {
            let ms = time.as_primitive::<Int64Type>().value(row);
            return if ms % 1000 == 0 { format!("@{}s", ms / 1000) } else { format!("@{ms}ms") };
        }
        let text = formatter.value(row).to_string();
        if text.is_empty() || text.contains(char::is_whitespace) {
            format!("\"{text}\"")
        } else {
            text
        }
    };
    (0..column.len()).map(cell).collect()
}

/// What an operator is run in: as many subtasks as it has, with state and watermark.
pub struct Harness<'a> {
    make: &'a dyn Fn() -> Result<Box<dyn Operator>>,
    /// Key columns of every input. Without keys all rows go to subtask 0.
    keys: Vec<Vec<usize>>,
    subtasks: Vec<Subtask>,
    clock: Arc<ManualClock>,
    printed: Watermark,
    /// Batches put out since the last [`Self::take_batches`].
    batches: Vec<RecordBatch>,
    lines: Vec<String>,
}

struct Subtask {
    operator: Box<dyn Operator>,
    ctx: OperatorContext,
    passed: Watermark,
    /// Of a snapshot after every call: finds those that change rows without saying so.
    files: ChainFiles,
}

impl<'a> Harness<'a> {
    pub fn new(make: &'a dyn Fn() -> Result<Box<dyn Operator>>, keys: Vec<Vec<usize>>) -> Self {
        let mut harness = Self {
            make,
            keys,
            subtasks: Vec::new(),
            clock: Arc::new(ManualClock::at(0)),
            printed: Watermark::MIN,
            batches: Vec::new(),
            lines: Vec::new(),
        };
        harness.start(1, &[]);
        harness
    }

    fn start(&mut self, parallelism: u32, files: &[Bytes]) {
        self.subtasks.clear();
        for subtask in 0..parallelism {
            let key_groups = key_group::range_of(subtask, MAX_PARALLELISM, parallelism);
            let options = StoreOptions {
                uid: "operator".into(),
                key_groups,
                max_parallelism: MAX_PARALLELISM,
                memory_bytes: 64 << 20,
                cold: None,
            };
            let state = StateStore::open(options, files.to_vec()).unwrap();
            let watermark = state.restored_watermark().unwrap_or(Watermark::MIN);
            let mut ctx = OperatorContext {
                watermark,
                state,
                clock: Arc::clone(&self.clock) as _,
                expressions: Arc::new(TestExpressions),
                subtask,
                parallelism,
                max_parallelism: MAX_PARALLELISM,
                key_groups,
            };
            let mut operator = (self.make)().expect("the operator");
            operator.open(&mut ctx).expect("open");
            ctx.state.snapshot_little();
            let (passed, files) = (self.printed, ChainFiles::default());
            self.subtasks.push(Subtask { operator, ctx, passed, files });
        }
    }

    pub fn parallelism(&self) -> usize {
        self.subtasks.len()
    }

    /// Calls every subtask and takes what it puts out.
    fn each(
        &mut self,
        mut call: impl FnMut(usize, &mut dyn Operator, &mut OperatorContext, &mut Output) -> Result<()>,
    ) -> Result<()> {
        for index in 0..self.subtasks.len() {
            let mut out = Output::default();
            let subtask = &mut self.subtasks[index];
            call(index, subtask.operator.as_mut(), &mut subtask.ctx, &mut out)?;
            subtask.ctx.state.end_batch()?;
            subtask.files.add(subtask.ctx.state.snapshot(subtask.ctx.watermark)?);
            for element in out.take_main() {
                self.take(index, element);
            }
            for batch in out.take_side() {
                self.lines.extend(print_rows(&batch).into_iter().map(|row| format!("side {row}")));
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize, element: StreamElement) {
        match element {
            StreamElement::Batch(batch) => {
                assert!(batch.num_rows() <= 8192, "a batch of {} rows", batch.num_rows());
                self.lines.extend(print_rows(&batch));
                self.batches.push(batch);
            }
            StreamElement::Watermark(watermark) => {
                let subtask = &mut self.subtasks[index];
                subtask.passed = subtask.passed.max(watermark);
                let lowest = self.subtasks.iter().map(|s| s.passed).min().unwrap_or(watermark);
                if lowest > self.printed {
                    self.printed = lowest;
                    self.lines.push(print_watermark(lowest));
                }
            }
            StreamElement::Idle => self.lines.push("idle".into()),
            other => panic!("an operator put out {other:?}"),
        }
    }

    /// Rows into `port`, each to the subtask of its key.
    pub fn process(&mut self, port: usize, batch: &RecordBatch) -> Result<()> {
        let keys = self.keys[port].clone();
        let parallelism = self.subtasks.len() as u32;
        let mut hashes = Vec::new();
        key_group::hash_columns(batch, &keys, &mut hashes)?;
        let target = |hash: &u64| {
            let group = key_group::key_group_of(*hash, MAX_PARALLELISM);
            key_group::subtask_of(group, MAX_PARALLELISM, parallelism) as usize
        };
        self.each(|index, operator, ctx, out| {
            if keys.is_empty() || parallelism == 1 {
                return if index == 0 {
                    operator.process(port, batch.clone(), ctx, out)
                } else {
                    Ok(())
                };
            }
            let mine = hashes.iter().enumerate().filter(|(_, hash)| target(hash) == index);
            let mine: Vec<u32> = mine.map(|(row, _)| row as u32).collect();
            if mine.is_empty() {
                return Ok(());
            }
            operator.process(port, take_record_batch(batch, &UInt32Array::from(mine))?, ctx, out)
        })
    }

    pub fn watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.each(|_, operator, ctx, out| {
            if operator.forwards_watermarks() {
                if watermark <= ctx.watermark {
                    return Ok(());
                }
                ctx.watermark = watermark;
            }
            operator.on_watermark(watermark, ctx, out)?;
            if operator.forwards_watermarks() {
                out.emit_watermark(match watermark {
                    Watermark::MAX => watermark,
                    Watermark(ms) => Watermark(ms.saturating_sub(operator.watermark_delay_ms())),
                });
            }
            Ok(())
        })
    }

    pub fn flush(&mut self) -> Result<()> {
        self.each(|_, operator, ctx, out| operator.flush(ctx, out))
    }

    pub fn end(&mut self) -> Result<()> {
        self.watermark(Watermark::MAX)?;
        self.each(|_, operator, ctx, out| operator.finish(ctx, out))
    }

    /// Sets processing time to `now_ms` and wakes who asked for it.
    pub fn wakeup(&mut self, now_ms: i64) -> Result<()> {
        let now = model::Clock::now_ms(self.clock.as_ref());
        self.clock.advance(now_ms - now);
        self.each(|_, operator, ctx, out| match operator.next_wakeup_ms() {
            Some(due) if due <= now_ms => operator.on_wakeup(now_ms, ctx, out),
            _ => Ok(()),
        })
    }

    /// As at a barrier: flush, snapshot; then as after a failure: fresh operators.
    pub fn restore(&mut self, parallelism: u32) -> Result<()> {
        self.flush()?;
        // Every call ends with a snapshot.
        let files: Vec<Bytes> =
            self.subtasks.iter().flat_map(|s| s.files.files().to_vec()).collect();
        self.start(parallelism, &files);
        Ok(())
    }

    /// Rows that were late, in all subtasks since the last restore.
    pub fn late_records(&self) -> u64 {
        self.subtasks.iter().map(|s| s.operator.late_records()).sum()
    }

    /// Whether no subtask holds state.
    pub fn is_state_empty(&self) -> bool {
        self.subtasks.iter().all(|s| s.ctx.state.is_empty())
    }

    /// Everything put out since the last call, as text.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.batches.clear();
        std::mem::take(&mut self.lines)
    }

    /// The batches put out since the last call.
    pub fn take_batches(&mut self) -> Vec<RecordBatch> {
        self.lines.clear();
        std::mem::take(&mut self.batches)
    }
}

fn print_watermark(watermark: Watermark) -> String {
    match watermark {
        Watermark::MAX => "watermark max".into(),
        Watermark(ms) if ms % 1000 == 0 => format!("watermark {}s", ms / 1000),
        Watermark(ms) => format!("watermark {ms}ms"),
    }
}

/// For comparison: times as numbers.
fn canonical(line: &str) -> String {
    match line.strip_prefix("watermark ") {
        Some(time) => format!("watermark {}", millis(time)),
        None => tokens(line).iter().map(|t| number_of_time(t)).collect::<Vec<_>>().join("\u{1}"),
    }
}

fn run(mut harness: Harness<'_>, inputs: &[SchemaRef], script: &str) {
    let lines: Vec<(usize, &str)> = script
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut at = 0;
    let mut step = String::new();
    while at < lines.len() {
        // One step: rows for one port, or one command.
        let (number, line) = lines[at];
        let (port, rest) = command(line).unwrap_or_else(|| panic!("line {number}: `{line}`?"));
        at += 1;
        let _ = writeln!(step, "{number}: {line}");
        if is_row(rest) {
            let mut batch = vec![rest];
            while let Some((number, line)) = lines.get(at)
                && let Some((other, rest)) = command(line)
                && other == port
                && is_row(rest)
            {
                let _ = writeln!(step, "{number}: {line}");
                batch.push(rest);
                at += 1;
            }
            harness.process(port, &rows(&inputs[port], &batch)).expect("process");
        } else {
            obey(&mut harness, rest).unwrap_or_else(|e| panic!("{step}\n{}", e.chain()));
        }
        let mut expected = Vec::new();
        while let Some(line) = lines.get(at).and_then(|(_, line)| line.strip_prefix('<')) {
            expected.push(line.trim().to_owned());
            at += 1;
        }
        compare(&step, expected, harness.take_lines(), harness.parallelism() == 1);
    }
}

fn compare(steps: &str, mut expected: Vec<String>, mut actual: Vec<String>, ordered: bool) {
    if !ordered {
        expected.sort_by_key(|line| canonical(line));
        actual.sort_by_key(|line| canonical(line));
    }
    let same = expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|(a, b)| canonical(a) == canonical(b));
    assert!(
        same,
        "after\n{steps}expected\n  < {}\nbut got\n  < {}",
        expected.join("\n  < "),
        actual.join("\n  < ")
    );
}

/// Port and text of an input line.
fn command(line: &str) -> Option<(usize, &str)> {
    let rest = line.strip_prefix('>')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((rest[..digits].parse().unwrap_or(0), rest[digits..].trim()))
}

fn is_row(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    !matches!(word, "watermark" | "flush" | "wakeup" | "restore" | "end" | "batch")
}

fn obey(harness: &mut Harness<'_>, text: &str) -> Result<()> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["watermark", time] => harness.watermark(Watermark(millis(time))),
        ["wakeup", time] => harness.wakeup(millis(time)),
        ["flush"] => harness.flush(),
        ["batch"] => Ok(()),
        ["end"] => harness.end(),
        ["restore"] => harness.restore(harness.parallelism() as u32),
        ["restore", parallelism] => harness.restore(parallelism.parse().expect("a number")),
        _ => panic!("`{text}` is no command"),
    }
}

/// Expressions of three forms: `column`, `column > number` (also `<`, `=`) and
/// `column + number` (also `-`), the number in the column's type.
pub struct TestExpressions;

struct TestExpression {
    column: usize,
    operation: Option<(String, ArrayRef)>,
    data_type: DataType,
}

impl Expressions for TestExpressions {
    fn compile(
        &self,
        text: &str,
        schema: &SchemaRef,
    ) -> std::result::Result<Box<dyn Expression>, ExpressionError> {
        let error = |message: String| ExpressionError { message, span: None, help: None };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [name, rest @ ..] = &words[..] else { return Err(error("nothing to compute".into())) };
        let column =
            schema.index_of(name).map_err(|_| error(format!("there is no column `{name}`")))?;
        let own = schema.field(column).data_type().clone();
        let (operation, data_type) = match rest {
            [] => (None, own),
            [operator, number] => {
                let number = StringArray::from(vec![*number]);
                let number = cast(&number, &own).map_err(|e| error(e.to_string()))?;
                let is_comparison = matches!(*operator, ">" | "<" | "=");
                let data_type = if is_comparison { DataType::Boolean } else { own };
                (Some(((*operator).to_owned(), number)), data_type)
            }
            _ => return Err(error(format!("`{text}` is beyond the test expressions"))),
        };
        Ok(Box::new(TestExpression { column, operation, data_type }))
    }

    fn columns(
        &self,
        text: &str,
        _schema: &SchemaRef,
    ) -> std::result::Result<Vec<String>, ExpressionError> {
        Ok(text.split_whitespace().take(1).map(str::to_owned).collect())
    }
}

impl Expression for TestExpression {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn nullable(&self) -> bool {
        true
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        use arrow::compute::kernels::{cmp, numeric};
        let column = batch.column(self.column);
        let Some((operator, number)) = &self.operation else { return Ok(Arc::clone(column)) };
        let number = arrow::array::Scalar::new(Arc::clone(number));
        Ok(match operator.as_str() {
            ">" => Arc::new(cmp::gt(column, &number)?),
            "<" => Arc::new(cmp::lt(column, &number)?),
            "=" => Arc::new(cmp::eq(column, &number)?),
            "+" => numeric::add(column, &number)?,
            "-" => numeric::sub(column, &number)?,
            other => return Err(model::Error::user(format!("unknown operator `{other}`"))),
        })
    }
}

/// Times of a TIMESTAMP (ms) or BIGINT column.
pub fn longs(column: &ArrayRef) -> Vec<i64> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
        _ => column.as_primitive::<TimestampMillisecondType>().values().to_vec(),
    }
}
