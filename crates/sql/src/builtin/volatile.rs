//! Functions of the moment at which a row is computed, and of chance. After a failure rows
//! are computed again and may come out otherwise, so a job file's own expressions refuse
//! DataFusion's; in SQL people write them as in Flink, and these are their names.
//! Called through `builtin`.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use datafusion_common::Result;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Arg, Call, Definition, Returns};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "current_row_timestamp",
        takes: &[],
        count: (0, 0),
        returns: Returns::Instant,
        eval: |call| {
            let now = now_ms();
            call.values::<TimestampMillisecondType>(|_| Ok(Some(now)))
        },
    },
    Definition {
        name: "current_row_localtimestamp",
        takes: &[],
        count: (0, 0),
        returns: Returns::Stamp,
        eval: |call| {
            let now = now_ms();
            call.values::<TimestampMillisecondType>(|_| Ok(Some(now)))
        },
    },
    Definition {
        name: "current_row_date",
        takes: &[],
        count: (0, 0),
        returns: Returns::Date,
        eval: |call| {
            let today = i32::try_from(now_ms().div_euclid(86_400_000)).unwrap_or(0);
            call.values::<Date32Type>(|_| Ok(Some(today)))
        },
    },
    Definition {
        name: "current_row_time",
        takes: &[],
        count: (0, 0),
        returns: Returns::By(|_| {
            Ok(arrow::datatypes::DataType::Time32(arrow::datatypes::TimeUnit::Millisecond))
        }),
        eval: |call| {
            // TIME(0): whole seconds.
            let second = now_ms().rem_euclid(86_400_000) / 1_000 * 1_000;
            let second = i32::try_from(second).unwrap_or(0);
            call.values::<Time32MillisecondType>(|_| Ok(Some(second)))
        },
    },
    Definition {
        name: "current_row_unix_timestamp",
        takes: &[],
        count: (0, 0),
        returns: Returns::Bigint,
        eval: |call| {
            let now = now_ms().div_euclid(1_000);
            call.values::<Int64Type>(|_| Ok(Some(now)))
        },
    },
    Definition {
        name: "rand",
        takes: &[Arg::Int],
        count: (0, 1),
        returns: Returns::Double,
        eval: |call| {
            let mut random = random(call)?;
            call.values::<Float64Type>(|_| Ok(Some(random.random::<f64>())))
        },
    },
    Definition {
        name: "rand_integer",
        takes: &[Arg::Int],
        count: (1, 2),
        returns: Returns::Int,
        eval: rand_integer,
    },
    Definition {
        name: "random_uuid",
        takes: &[],
        count: (0, 0),
        returns: Returns::Text,
        eval: |call| {
            // From the system, since ids must be hard to guess.
            let mut random = rand::rngs::StdRng::from_os_rng();
            call.texts(|_| Ok(Some(uuid(random.random()))))
        },
    },
];

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// With a seed as first of its arguments the same numbers for every batch.
fn random(call: &Call<'_>) -> Result<SmallRng> {
    let seed = match call.has(0) && call.rows > 0 {
        true => Some(call.int(0)?).filter(|s| s.is_valid(0)).map(|s| s.value(0)),
        false => None,
    };
    Ok(match seed {
        Some(seed) => SmallRng::seed_from_u64(seed.cast_unsigned()),
        None => SmallRng::from_os_rng(),
    })
}

/// `RAND_INTEGER(bound)`, `RAND_INTEGER(seed, bound)`.
fn rand_integer(call: &Call<'_>) -> Result<ArrayRef> {
    let seeded = call.has(1);
    let mut random = if seeded { random(call)? } else { SmallRng::from_os_rng() };
    let bounds = call.int(usize::from(seeded))?;
    call.values::<Int32Type>(|row| {
        let bound = i32::try_from(bounds.value(row)).unwrap_or(i32::MAX);
        if bound <= 0 {
            return datafusion_common::exec_err!("the bound of RAND_INTEGER must be above 0");
        }
        Ok(Some(random.random_range(0..bound)))
    })
}

/// RFC 4122, version 4.
fn uuid(random: u128) -> String {
    let bits = random & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
