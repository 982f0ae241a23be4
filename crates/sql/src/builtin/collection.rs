//! Functions of arrays. Elements of all arguments lie in one column, and a result is a choice
//! of its places, so that every element type is handled alike; equal are elements whose rows
//! in Arrow's row format are equal, NULL and NULL among them. Called through `builtin`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, cast, concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{Result, exec_err, plan_err};

use super::{Arg, Call, Definition, MANY, Returns};

const fn list(
    name: &'static str,
    takes: &'static [Arg],
    count: (usize, usize),
    eval: Eval,
) -> Definition {
    Definition { name, takes, count, returns: Returns::Like(0), eval }
}

type Eval = fn(&Call<'_>) -> Result<ArrayRef>;

pub(super) const FUNCTIONS: &[Definition] = &[
    list("array_append", &[Arg::List, Arg::Any], (2, 2), |call| {
        let view = View::new(call, &[0], &[1], SortOptions::default())?;
        view.lists(call, |row| {
            let mut found: Vec<usize> = view.list(0, row)?.collect();
            found.push(view.element(0, row));
            Some(found)
        })
    }),
    list("array_prepend", &[Arg::List, Arg::Any], (2, 2), |call| {
        let view = View::new(call, &[0], &[1], SortOptions::default())?;
        view.lists(call, |row| {
            let list = view.list(0, row)?;
            Some(std::iter::once(view.element(0, row)).chain(list).collect())
        })
    }),
    list("array_concat", &[Arg::List], (1, MANY), |call| {
        let all: Vec<usize> = (0..call.args.len()).collect();
        let view = View::new(call, &all, &[], SortOptions::default())?;
        view.lists(call, |row| {
            let lists: Option<Vec<_>> = all.iter().map(|i| view.list(*i, row)).collect();
            Some(lists?.into_iter().flatten().collect())
        })
    }),
    list("array_distinct", &[Arg::List], (1, 1), |call| {
        let view = View::new(call, &[0], &[], SortOptions::default())?;
        view.lists(call, |row| Some(view.distinct(view.list(0, row)?)))
    }),
    list("array_union", &[Arg::List], (2, 2), |call| {
        let view = View::new(call, &[0, 1], &[], SortOptions::default())?;
        view.lists(call, |row| Some(view.distinct(view.list(0, row)?.chain(view.list(1, row)?))))
    }),
    list("array_intersect", &[Arg::List], (2, 2), |call| {
        let view = View::new(call, &[0, 1], &[], SortOptions::default())?;
        view.lists(call, |row| {
            let other = view.list(1, row)?;
            let both = view.list(0, row)?.filter(|a| view.has(other.clone(), *a));
            Some(view.distinct(both))
        })
    }),
    list("array_except", &[Arg::List], (2, 2), |call| {
        let view = View::new(call, &[0, 1], &[], SortOptions::default())?;
        view.lists(call, |row| {
            let other = view.list(1, row)?;
            let left = view.list(0, row)?.filter(|a| !view.has(other.clone(), *a));
            Some(view.distinct(left))
        })
    }),
    list("array_remove", &[Arg::List, Arg::Any], (2, 2), |call| {
        let view = View::new(call, &[0], &[1], SortOptions::default())?;
        view.lists(call, |row| {
            let gone = view.element(0, row);
            Some(view.list(0, row)?.filter(|a| !view.same(*a, gone)).collect())
        })
    }),
    list("array_reverse", &[Arg::List], (1, 1), |call| {
        let view = View::new(call, &[0], &[], SortOptions::default())?;
        view.lists(call, |row| Some(view.list(0, row)?.rev().collect()))
    }),
    list("array_slice", &[Arg::List, Arg::Int], (2, 3), |call| {
        let view = View::new(call, &[0], &[], SortOptions::default())?;
        let starts = call.int(1)?;
        let ends = if call.has(2) { Some(call.int(2)?) } else { None };
        view.lists(call, |row| {
            let list = view.list(0, row)?;
            if call.null(row) {
                return None;
            }
            let end = ends.map_or(-1, |e| e.value(row));
            Some(slice(list, starts.value(row), end).collect())
        })
    }),
    list("array_sort", &[Arg::List, Arg::Bool], (1, 3), sort),
    Definition {
        name: "array_contains",
        takes: &[Arg::List, Arg::Any],
        count: (2, 2),
        returns: Returns::Bool,
        eval: |call| {
            let view = View::new(call, &[0], &[1], SortOptions::default())?;
            let found: BooleanArray = (0..call.rows)
                .map(|row| Some(view.has(view.list(0, row)?, view.element(0, row))))
                .collect();
            Ok(Arc::new(found))
        },
    },
    Definition {
        name: "array_position",
        takes: &[Arg::List, Arg::Any],
        count: (2, 2),
        returns: Returns::Int,
        eval: |call| {
            let view = View::new(call, &[0], &[1], SortOptions::default())?;
            let found: Int32Array = (0..call.rows)
                .map(|row| {
                    let mut list = view.list(0, row).filter(|_| !call.null(row))?;
                    let wanted = view.element(0, row);
                    let at = list.position(|a| view.same(a, wanted));
                    Some(at.map_or(0, |at| i32::try_from(at + 1).unwrap_or(i32::MAX)))
                })
                .collect();
            Ok(Arc::new(found))
        },
    },
    Definition {
        name: "array_max",
        takes: &[Arg::List],
        count: (1, 1),
        returns: Returns::By(item),
        eval: |call| extreme(call, true),
    },
    Definition {
        name: "array_min",
        takes: &[Arg::List],
        count: (1, 1),
        returns: Returns::By(item),
        eval: |call| extreme(call, false),
    },
    Definition {
        name: "element",
        takes: &[Arg::List],
        count: (1, 1),
        returns: Returns::By(item),
        eval: |call| {
            let view = View::new(call, &[0], &[], SortOptions::default())?;
            if (0..call.rows).any(|row| view.list(0, row).is_some_and(|list| list.len() > 1)) {
                return exec_err!("ELEMENT takes an array of one element, but there are more");
            }
            view.chosen((0..call.rows).map(|row| view.list(0, row)?.next()))
        },
    },
    Definition {
        name: "array_join",
        takes: &[Arg::List, Arg::Text],
        count: (2, 3),
        returns: Returns::Text,
        eval: join,
    },
];

fn item(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::List(item)) => Ok(item.data_type().clone()),
        _ => plan_err!("an array is needed here"),
    }
}

/// The elements of all arguments, and where those of each row lie.
struct View {
    values: ArrayRef,
    rows: Rows,
    /// Per list argument: it, and where its elements start.
    lists: Vec<(ListArray, usize)>,
    /// Per element argument: where it starts.
    elements: Vec<usize>,
}

impl View {
    fn new(
        call: &Call<'_>,
        lists: &[usize],
        elements: &[usize],
        options: SortOptions,
    ) -> Result<Self> {
        let wanted = item(&[call.args[lists[0]].data_type().clone()])?;
        let of = DataType::List(Arc::new(Field::new_list_field(wanted.clone(), true)));
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut length = 0;
        let mut view_lists = Vec::new();
        for index in lists {
            let found = cast(&call.args[*index], &of)?;
            let found: &ListArray = found.as_list();
            parts.push(Arc::clone(found.values()));
            view_lists.push((found.clone(), length));
            length += found.values().len();
        }
        let mut view_elements = Vec::new();
        for index in elements {
            parts.push(cast(&call.args[*index], &wanted)?);
            view_elements.push(length);
            length += call.rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts)?;
        let converter = RowConverter::new(vec![SortField::new_with_options(wanted, options)])?;
        let rows = converter.convert_columns(std::slice::from_ref(&values))?;
        Ok(Self { values, rows, lists: view_lists, elements: view_elements })
    }

    /// Places of the elements of a list argument; `None`: it is NULL.
    fn list(&self, index: usize, row: usize) -> Option<Range<usize>> {
        let (list, base) = &self.lists[index];
        let offset = |at: usize| base + usize::try_from(list.value_offsets()[at]).unwrap_or(0);
        list.is_valid(row).then(|| offset(row)..offset(row + 1))
    }

    fn element(&self, index: usize, row: usize) -> usize {
        self.elements[index] + row
    }

    fn same(&self, a: usize, b: usize) -> bool {
        self.rows.row(a) == self.rows.row(b)
    }

    fn has(&self, mut list: Range<usize>, wanted: usize) -> bool {
        list.any(|a| self.same(a, wanted))
    }

    /// Each element once, where it came first.
    fn distinct(&self, list: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        list.filter(|a| seen.insert(self.rows.row(*a))).collect()
    }

    fn chosen(&self, places: impl Iterator<Item = Option<usize>>) -> Result<ArrayRef> {
        let places: UInt64Array = places.map(|p| p.map(|p| p as u64)).collect();
        Ok(take(&self.values, &places, None)?)
    }

    /// One list per row, of the elements at the places that `each` gives.
    fn lists(
        &self,
        call: &Call<'_>,
        each: impl Fn(usize) -> Option<Vec<usize>>,
    ) -> Result<ArrayRef> {
        let mut places: Vec<u64> = Vec::new();
        let mut lengths = Vec::with_capacity(call.rows);
        let mut valid = Vec::with_capacity(call.rows);
        for row in 0..call.rows {
            let found = each(row);
            valid.push(found.is_some());
            let found = found.unwrap_or_default();
            lengths.push(found.len());
            places.extend(found.into_iter().map(|p| p as u64));
        }
        let values = take(&self.values, &UInt64Array::from(places), None)?;
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(field, offsets, values, Some(NullBuffer::from(valid)))?;
        Ok(Arc::new(list))
    }
}

/// Offsets count from 1, negative ones from the end, 0 is the beginning; both ends belong.
fn slice(list: Range<usize>, start: i64, end: i64) -> Range<usize> {
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let place = |offset: i64| match offset {
        0 => 1,
        1.. => offset,
        _ => offset + length + 1,
    };
    let (from, to) = (place(start).max(1), place(end).min(length));
    if from > to || place(start) > length {
        return list.start..list.start;
    }
    let at = |n: i64| list.start + usize::try_from(n).unwrap_or(0);
    at(from - 1)..at(to)
}

/// Ascending with NULLs first unless said otherwise; descending with NULLs last.
fn sort(call: &Call<'_>) -> Result<ArrayRef> {
    let flag = |index: usize, row: usize, default: bool| -> Result<bool> {
        Ok(if call.has(index) { call.bool(index)?.value(row) } else { default })
    };
    let mut views = Vec::new();
    for (descending, nulls_first) in [(false, true), (false, false), (true, true), (true, false)] {
        let options = SortOptions { descending, nulls_first };
        let wanted = (0..call.rows).any(|row| {
            let ascending = flag(1, row, true).unwrap_or(true);
            ascending != descending && flag(2, row, ascending).unwrap_or(true) == nulls_first
        });
        if wanted {
            views.push((options, View::new(call, &[0], &[], options)?));
        }
    }
    let Some((_, any)) = views.first() else {
        return View::new(call, &[0], &[], SortOptions::default())?.lists(call, |_| None);
    };
    any.lists(call, |row| {
        if call.null(row) {
            return None;
        }
        let ascending = flag(1, row, true).ok()?;
        let nulls_first = flag(2, row, ascending).ok()?;
        let options = SortOptions { descending: !ascending, nulls_first };
        let (_, view) = views.iter().find(|(o, _)| *o == options)?;
        let mut found: Vec<usize> = view.list(0, row)?.collect();
        found.sort_by(|a, b| view.rows.row(*a).cmp(&view.rows.row(*b)));
        Some(found)
    })
}

/// NULLs do not count.
fn extreme(call: &Call<'_>, greatest: bool) -> Result<ArrayRef> {
    let view = View::new(call, &[0], &[], SortOptions::default())?;
    view.chosen((0..call.rows).map(|row| {
        let list = view.list(0, row)?.filter(|at| view.values.is_valid(*at));
        match greatest {
            true => list.max_by(|a, b| view.rows.row(*a).cmp(&view.rows.row(*b))),
            false => list.min_by(|a, b| view.rows.row(*a).cmp(&view.rows.row(*b))),
        }
    }))
}

fn join(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let lists = cast(&call.args[0], &texts)?;
    let lists: &ListArray = lists.as_list();
    let delimiters = call.text(1)?;
    let instead = if call.has(2) { Some(call.text(2)?) } else { None };
    call.texts(|row| {
        let list = lists.value(row);
        let instead = instead.map(|i| i.value(row));
        let parts: Vec<&str> =
            list.as_string::<i32>().iter().filter_map(|part| part.or(instead)).collect();
        Ok(Some(parts.join(delimiters.value(row))))
    })
}
