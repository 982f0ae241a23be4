//! Functions of maps, and the number of entries of a collection. Called through `builtin`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, MapArray, MapBuilder, StringBuilder, StructArray,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion_common::{Result, plan_err};

use super::pattern::Patterns;
use super::{Arg, Call, Definition, MANY, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "cardinality",
        takes: &[Arg::Any],
        count: (1, 1),
        returns: Returns::By(|types| match types.first() {
            Some(DataType::List(_) | DataType::LargeList(_) | DataType::Map(_, _)) => {
                Ok(DataType::Int32)
            }
            other => {
                let found = other.map(planner::sql_type::show).unwrap_or_default();
                plan_err!("CARDINALITY takes an array or a map, but this is {found}")
            }
        }),
        eval: cardinality,
    },
    Definition {
        name: "map_union",
        takes: &[Arg::Map],
        count: (1, MANY),
        returns: Returns::Like(0),
        eval: union,
    },
    Definition {
        name: "str_to_map",
        takes: &[Arg::Text],
        count: (1, 3),
        returns: Returns::By(|_| Ok(text_map())),
        eval: str_to_map,
    },
];

fn cardinality(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.args[0];
    let length = |row: usize| match array.data_type() {
        DataType::Map(_, _) => array.as_map().value_length(row),
        DataType::LargeList(_) => {
            i32::try_from(array.as_list::<i64>().value_length(row)).unwrap_or(i32::MAX)
        }
        _ => array.as_list::<i32>().value_length(row),
    };
    let found: Int32Array =
        (0..call.rows).map(|row| array.is_valid(row).then(|| length(row))).collect();
    Ok(Arc::new(found))
}

/// Later values of a key stand instead of earlier ones.
fn union(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = call
        .args
        .iter()
        .map(|a| Ok(cast(a, call.returns)?.as_map().clone()))
        .collect::<Result<Vec<MapArray>>>()?;
    let entries: Vec<&dyn Array> = maps.iter().map(|m| m.entries() as &dyn Array).collect();
    let all = concat(&entries)?;
    let keys = Arc::clone(all.as_struct().column(0));
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let rows = converter.convert_columns(&[keys])?;
    let mut bases = Vec::with_capacity(maps.len());
    let mut base = 0;
    for map in &maps {
        bases.push(base);
        base += map.entries().len();
    }
    let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let there = maps.iter().all(|m| m.is_valid(row));
        valid.push(there);
        let from = places.len();
        if there {
            for (map, base) in maps.iter().zip(&bases) {
                let offset = |at: usize| usize::try_from(map.value_offsets()[at]).unwrap_or(0);
                for place in base + offset(row)..base + offset(row + 1) {
                    let key = rows.row(place);
                    let known = places[from..].iter().position(|p| rows.row(*p) == key);
                    match known {
                        Some(known) => places[from + known] = place,
                        None => places.push(place),
                    }
                }
            }
        }
        lengths.push(places.len() - from);
    }
    let places: UInt64Array = places.into_iter().map(|p| p as u64).collect();
    let entries = take(&all, &places, None)?;
    let DataType::Map(field, sorted) = call.returns else {
        return plan_err!("MAP_UNION takes maps");
    };
    let entries: &StructArray = entries.as_struct();
    let map = MapArray::try_new(
        Arc::clone(field),
        OffsetBuffer::from_lengths(lengths),
        entries.clone(),
        Some(NullBuffer::from(valid)),
        *sorted,
    )?;
    Ok(Arc::new(map))
}

/// MAP<STRING, STRING>.
fn text_map() -> DataType {
    let fields = Fields::from(vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

/// Both delimiters are patterns.
fn str_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let (mut pairs, mut parts) = (Patterns::default(), Patterns::default());
    let mut out = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in 0..call.rows {
        if call.null(row) {
            out.append(false)?;
            continue;
        }
        let between = if call.has(1) { call.text(1)?.value(row) } else { "," };
        let within = if call.has(2) { call.text(2)?.value(row) } else { "=" };
        let (Some(between), Some(within)) = (pairs.get(between)?, parts.get(within)?) else {
            return datafusion_common::exec_err!("a delimiter of STR_TO_MAP is no pattern");
        };
        let mut known: Vec<(&str, Option<&str>)> = Vec::new();
        for pair in between.split(texts.value(row)) {
            let mut pieces = within.splitn(pair, 2);
            let key = pieces.next().unwrap_or_default();
            let value = pieces.next();
            match known.iter_mut().find(|(k, _)| *k == key) {
                Some(entry) => entry.1 = value,
                None => known.push((key, value)),
            }
        }
        for (key, value) in known {
            out.keys().append_value(key);
            out.values().append_option(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}
