use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    DictionaryArray, FixedSizeBinaryArray, Float64Array, Int8Array, Int64Array, LargeStringArray,
    ListArray, MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray, StructArray,
    TimestampMicrosecondArray, UInt8Array,
};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;

fn every_type() -> RecordBatch {
    let text = |n: usize| (!n.is_multiple_of(3)).then(|| format!("text number {n} of some length"));
    let rows = 50;
    let ints = || (0..rows as i64).map(|n| (n % 7 != 3).then_some(n));
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for n in 0..rows {
        map.keys().append_value(format!("k{n}"));
        map.values().append_option(text(n));
        map.append(n % 5 != 0).unwrap();
    }
    let dictionary: DictionaryArray<Int32Type> =
        (0..rows).map(|n| if n % 4 == 0 { None } else { Some(["a", "bb"][n % 2]) }).collect();
    let lists = (0..rows).map(|n| (n % 6 != 0).then(|| (0..n as i64 % 4).map(Some)));
    let inner: ArrayRef = Arc::new(Int64Array::from_iter(ints()));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i8", Arc::new((0..rows as i8).map(Some).collect::<Int8Array>())),
        ("i64", Arc::clone(&inner)),
        ("f64", Arc::new((0..rows).map(|n| Some(n as f64 / 3.0)).collect::<Float64Array>())),
        ("bool", Arc::new((0..rows).map(|n| Some(n % 2 == 0)).collect::<BooleanArray>())),
        ("utf8", Arc::new((0..rows).map(text).collect::<StringArray>())),
        ("large", Arc::new((0..rows).map(text).collect::<LargeStringArray>())),
        ("view", Arc::new((0..rows).map(text).collect::<StringViewArray>())),
        (
            "binary",
            Arc::new(BinaryArray::from_iter((0..rows).map(|n| text(n).map(String::into_bytes)))),
        ),
        (
            "bview",
            Arc::new(BinaryViewArray::from_iter(
                (0..rows).map(|n| text(n).map(String::into_bytes)),
            )),
        ),
        (
            "fixed",
            Arc::new(
                FixedSizeBinaryArray::try_from_iter((0..rows as u8).map(|n| [n, 1, 2])).unwrap(),
            ),
        ),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from_iter(ints().map(|v| v.map(i128::from)))
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
        ),
        ("date", Arc::new((0..rows as i32).map(Some).collect::<Date32Array>())),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter(ints()).with_timezone("UTC"))),
        ("null", Arc::new(NullArray::new(rows))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        (
            "struct",
            Arc::new(StructArray::from(vec![(
                Arc::new(Field::new("inner", DataType::Int64, true)),
                inner,
            )])),
        ),
        ("map", Arc::new(map.finish())),
        ("dictionary", Arc::new(dictionary)),
        (model::row_kind::COLUMN, Arc::new(UInt8Array::from(vec![0; rows]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn every_type_comes_back_whole_sliced_and_empty() {
    let batch = every_type();
    for piece in [batch.clone(), batch.slice(13, 17), batch.slice(3, 1), batch.slice(0, 0)] {
        let frame = encode_batch(&piece).unwrap();
        let decoded = decode_batch(&frame, &batch.schema()).unwrap();
        assert_eq!(decoded, piece);
        // Wherever in a larger buffer the frame came to lie.
        for shift in 1..9 {
            let mut larger = vec![0_u8; shift];
            larger.extend_from_slice(&frame);
            let moved = Bytes::from(larger).slice(shift..);
            assert_eq!(decode_batch(&moved, &batch.schema()).unwrap(), piece);
        }
    }
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let schema = Arc::new(Schema::empty());
    let batch = rebuilt(Arc::clone(&schema), Vec::new(), 42).unwrap();
    let decoded = decode_batch(&encode_batch(&batch).unwrap(), &schema).unwrap();
    assert_eq!(decoded.num_rows(), 42);
}

#[test]
fn aligned_frames_are_decoded_in_place() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let batch = RecordBatch::try_from_iter([("v", values)]).unwrap();
    let frame = encode_batch(&batch).unwrap();
    let range = frame.as_ptr_range();
    let decoded = decode_batch(&frame, &batch.schema()).unwrap();
    let data = decoded.column(0).to_data();
    assert!(range.contains(&data.buffers()[0].as_ptr()), "the values were copied");
}

#[test]
fn views_send_only_what_they_show() {
    let long = "x".repeat(1000);
    let views: ArrayRef =
        Arc::new((0..1000).map(|_| Some(long.as_str())).collect::<StringViewArray>());
    let batch = RecordBatch::try_from_iter([("v", views)]).unwrap().slice(500, 3);
    let frame = encode_batch(&batch).unwrap();
    assert!(frame.len() < 8000, "{} bytes for 3000", frame.len());
    assert_eq!(decode_batch(&frame, &batch.schema()).unwrap(), batch);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any result but a panic: what decodes may even be whole (a flipped value).
    #[test]
    fn corrupt_bytes_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        near_end in any::<bool>(),
    ) {
        let batch = every_type();
        let mut bytes = encode_batch(&batch).unwrap().to_vec();
        // The metadata, where damage does most, lies at the end.
        let from = if near_end { bytes.len() - 3000 } else { 0 };
        for (at, value) in flips {
            let at = from + at.index(bytes.len() - from);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = decode_batch(&Bytes::from(bytes), &batch.schema()) {
            prop_assert_eq!(error.kind(), model::ErrorKind::External);
        }
    }
}
