//! Facts of Flink's documentation: what each function gives for what.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The value in the first of two rows, which are `n = 7, s = 'hello'` and NULLs.
fn value(text: &str) -> String {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(7), None])),
        Arc::new(StringArray::from(vec![Some("hello"), None])),
    ];
    let fields = [("n", DataType::Int32), ("s", DataType::Utf8)];
    let fields: Vec<Field> = fields.into_iter().map(|(n, t)| Field::new(n, t, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let compiled = match crate::expressions().compile(text, &batch.schema()) {
        Ok(compiled) => compiled,
        Err(error) => return format!("does not compile: {}", error.message),
    };
    match compiled.evaluate(&batch) {
        Ok(array) => {
            let options = FormatOptions::default().with_null("NULL");
            ArrayFormatter::try_new(array.as_ref(), &options).unwrap().value(0).to_string()
        }
        Err(error) => format!("fails: {}", error.chain()),
    }
}

fn check(facts: &[(&str, &str)]) {
    let wrong: Vec<String> = facts
        .iter()
        .filter_map(|(text, expected)| {
            let found = value(text);
            (found != *expected).then(|| format!("{text} is {found}, not {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn arithmetic() {
    check(&[
        ("POWER(2, 3)", "8.0"),
        ("LOG(2, 8)", "3.0"),
        ("LOG(E())", "1.0"),
        ("SIGN(-3)", "-1"),
        ("SIGN(CAST(-2.5 AS DECIMAL(4, 2)))", "-1.00"),
        ("CEIL(1.2)", "2.0"),
        ("FLOOR(-1.2)", "-2.0"),
        ("CEILING(CAST(1.25 AS DECIMAL(4, 2)))", "2"),
        ("FLOOR(n)", "7"),
        ("TRUNCATE(42.324, 2)", "42.32"),
        ("TRUNCATE(42.324)", "42.0"),
        ("TRUNCATE(CAST(42.329 AS DECIMAL(5, 3)), 2)", "42.320"),
        ("TRUNCATE(1234, -2)", "1200"),
        ("BIN(4)", "100"),
        ("BIN(12)", "1100"),
        ("HEX(20)", "14"),
        ("HEX(100)", "64"),
        ("HEX('hello,world')", "68656C6C6F2C776F726C64"),
        ("UNHEX('466C696E6B')", "466c696e6b"),
        ("UNHEX('A0F')", "000f"),
        ("UNHEX('xy')", "NULL"),
        ("GREATEST(1, NULL)", "NULL"),
        ("GREATEST(3, 10, 5)", "10"),
        ("LEAST('b', 'a')", "a"),
        ("RAND(3) < 1.0", "true"),
        ("RAND_INTEGER(5, 1)", "0"),
    ]);
}

#[test]
fn texts() {
    check(&[
        ("CONCAT('AA', 'BB', 'CC')", "AABBCC"),
        ("CONCAT('AA', CAST(NULL AS STRING))", "NULL"),
        ("CONCAT_WS('~', 'AA', CAST(NULL AS STRING), 'BB', '', 'CC')", "AA~BB~~CC"),
        ("LPAD('hi', 4, '??')", "??hi"),
        ("LPAD('hi', 1, '??')", "h"),
        ("RPAD('hi', 4, '??')", "hi??"),
        ("FROM_BASE64('aGVsbG8gd29ybGQ=')", "hello world"),
        ("TO_BASE64('hello world')", "aGVsbG8gd29ybGQ="),
        ("ASCII('abc')", "97"),
        ("CHR(97)", "a"),
        ("CHR(353)", "a"),
        ("SUBSTRING('hello' FROM 2 FOR 3)", "ell"),
        ("SUBSTR('hello', -3)", "llo"),
        ("SUBSTR('hello', -3, 2)", "ll"),
        ("SUBSTR('hello', 0, 2)", "he"),
        ("LEFT('hello', -1)", ""),
        ("RIGHT('hello', 2)", "lo"),
        ("INSTR('hello', 'l')", "3"),
        ("LOCATE('a', 'banana', 3)", "4"),
        ("LOCATE('z', 'banana')", "0"),
        ("SPLIT_INDEX('a,b,c', ',', 2)", "c"),
        ("SPLIT_INDEX('a,b,c', ',', 3)", "NULL"),
        ("SPLIT_INDEX('a,b,c', ',', -1)", "NULL"),
        ("SPLIT_INDEX('a,b', 44, 1)", "b"),
        ("SPLIT_INDEX(',a,', ',', 0)", ""),
        ("COUNT_CHAR('abcabc', 'c')", "2"),
        ("COUNT_CHAR('abcabc', 'ca')", "2"),
        ("COUNT_CHAR('\u{e4}b\u{e4}\u{c3}', '\u{e4}')", "2"),
        ("COUNT_CHAR(CAST(NULL AS STRING), 'c')", "0"),
        ("COUNT_CHAR('abc', CAST(NULL AS STRING))", "0"),
        ("COUNT_CHAR('abc', '')", "0"),
        ("SPLIT_INDEX(',a,', ',', 2)", ""),
        ("SPLIT_INDEX('\u{e4},\u{20ac},b', ',', 1)", "\u{20ac}"),
        ("SPLIT_INDEX('a\u{e4}b\u{f6}c', '\u{e4}', 1)", "b\u{f6}c"),
        ("SPLIT_INDEX('a\u{e4}b', 228, 1)", "b"),
        ("SPLIT_INDEX('a::b::c', '::', 2)", "c"),
        ("SPLIT_INDEX('a,b', '', 0)", "a,b"),
        ("SPLIT_INDEX('a,b', '', 1)", "NULL"),
        ("SPLIT_INDEX('', ',', 0)", "NULL"),
        ("SPLIT_INDEX('a,b', NULL, 0)", "NULL"),
        ("SPLIT_INDEX('a,b', 300, 0)", "NULL"),
        ("SPLIT('a,,b,', ',')", "[a, , b, ]"),
        ("SPLIT('abc', '')", "[a, b, c]"),
        ("STARTSWITH('abc', '')", "true"),
        ("ENDSWITH('abc', 'bc')", "true"),
        ("ELT(2, 'a', 'b')", "b"),
        ("ELT(3, 'a', 'b')", "NULL"),
        ("PRINTF('%s|%5d|%-3s|%05.1f|%x', s, n, 'a', 2.25, 255)", "hello|    7|a  |002.2|ff"),
        ("PRINTF('%,d', 1234567)", "1,234,567"),
        ("REVERSE('abc')", "cba"),
        ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)", "xxxxxxxxx"),
        ("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2)", "xxxxxxxxxst"),
        ("REPLACE('ababab', 'abab', 'z')", "zab"),
        ("TRANSLATE('hello', 'el', 'i')", "hio"),
        ("INITCAP('hello wORLD')", "Hello World"),
        ("ENCODE('a', 'UTF-16')", "feff0061"),
        ("DECODE(ENCODE('ä', 'ISO-8859-1'), 'ISO-8859-1')", "ä"),
        ("URL_ENCODE('a b/ü')", "a+b%2F%C3%BC"),
        ("URL_DECODE('a+b%2F%C3%BC')", "a b/ü"),
        ("URL_DECODE('%zz')", "NULL"),
    ]);
}

#[test]
fn patterns() {
    check(&[
        ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fb"),
        ("REGEXP_REPLACE('a1b2', '[0-9]', '$1')", "a$1b$1"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)", "bar"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)')", "foothebar"),
        ("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 3)", "NULL"),
        ("REGEXP_EXTRACT_ALL('100-200, 300-400', '([0-9]+)-([0-9]+)')", "[100, 300]"),
        ("REGEXP_EXTRACT_ALL('100-200, 300-400', '([0-9]+)-([0-9]+)', 2)", "[200, 400]"),
        ("REGEXP_COUNT('hello world, hello', 'hello')", "2"),
        ("REGEXP_COUNT('x', '(')", "NULL"),
        ("REGEXP_INSTR('hello', 'l+')", "3"),
        ("REGEXP_INSTR('hello', 'z')", "0"),
        ("REGEXP_SUBSTR('hello', 'l+')", "ll"),
        ("REGEXP_SUBSTR('hello', 'z')", "NULL"),
        ("REGEXP('hello', '^h.*o$')", "true"),
        ("'hello' SIMILAR TO '(h|j)e%'", "true"),
        ("'hello' NOT SIMILAR TO 'e%'", "true"),
        ("'a.c' SIMILAR TO 'a.c'", "true"),
        ("'abc' SIMILAR TO 'a.c'", "false"),
        ("STR_TO_MAP('k1=v1,k2=v2')", "{k1: v1, k2: v2}"),
        ("STR_TO_MAP('k1:v1;k2:v2', ';', ':')", "{k1: v1, k2: v2}"),
    ]);
    assert!(value("REGEXP('a', '(?=a)')").contains("look-around"));
    let url = "'http://facebook.com/path1/p.php?k1=v1&k2=v2#Ref1'";
    for (part, expected) in [
        ("'HOST'", "facebook.com"),
        ("'PATH'", "/path1/p.php"),
        ("'QUERY'", "k1=v1&k2=v2"),
        ("'REF'", "Ref1"),
        ("'PROTOCOL'", "http"),
        ("'FILE'", "/path1/p.php?k1=v1&k2=v2"),
        ("'AUTHORITY'", "facebook.com"),
        ("'USERINFO'", "NULL"),
        ("'QUERY', 'k2'", "v2"),
    ] {
        assert_eq!(value(&format!("PARSE_URL({url}, {part})")), expected, "{part}");
    }
}

#[test]
fn times() {
    check(&[
        ("EXTRACT(DAY FROM DATE '2006-06-05')", "5"),
        ("HOUR(TIMESTAMP '1969-12-31 23:58:57.125')", "23"),
        ("MINUTE(TIMESTAMP '1969-12-31 23:58:57.125')", "58"),
        ("SECOND(TIMESTAMP '1969-12-31 23:58:57.125')", "57"),
        ("EXTRACT(MILLISECOND FROM TIMESTAMP '1969-12-31 23:58:57.125')", "125"),
        ("EXTRACT(EPOCH FROM TIMESTAMP '1969-12-31 23:58:57.125')", "-63"),
        ("HOUR(TIME '23:58:57')", "23"),
        ("YEAR(DATE '1994-09-27')", "1994"),
        ("QUARTER(DATE '1994-09-27')", "3"),
        ("MONTH(DATE '1994-09-27')", "9"),
        ("WEEK(DATE '1994-09-27')", "39"),
        ("DAYOFYEAR(DATE '1994-09-27')", "270"),
        ("DAYOFMONTH(DATE '1994-09-27')", "27"),
        ("DAYOFWEEK(DATE '1994-09-27')", "3"),
        ("HOUR(TIMESTAMP '1994-09-27 13:14:15')", "13"),
        ("MINUTE(TIMESTAMP '1994-09-27 13:14:15')", "14"),
        ("SECOND(TIMESTAMP '1994-09-27 13:14:15')", "15"),
        ("FLOOR(TIME '12:44:31' TO MINUTE)", "12:44:00"),
        ("CEIL(TIME '12:44:31' TO MINUTE)", "12:45:00"),
        ("FLOOR(DATE '1994-09-27' TO MONTH)", "1994-09-01"),
        ("CEIL(DATE '1994-09-27' TO YEAR)", "1995-01-01"),
        ("TIMESTAMPADD(WEEK, 1, DATE '2003-01-02')", "2003-01-09"),
        ("TIMESTAMPADD(MONTH, 1, DATE '2003-01-31')", "2003-02-28"),
        (
            "TIMESTAMPDIFF(DAY, TIMESTAMP '2003-01-02 10:00:00', TIMESTAMP '2003-01-03 10:00:00')",
            "1",
        ),
        ("TIMESTAMPDIFF(MONTH, DATE '2003-01-31', DATE '2003-03-01')", "1"),
        ("TIMESTAMPDIFF(YEAR, DATE '2004-01-01', DATE '2003-01-02')", "0"),
        ("CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')", "1969-12-31 16:00:00"),
        ("CONVERT_TZ('1970-01-01 00:00:00', 'GMT-08:00', 'UTC')", "1970-01-01 08:00:00"),
        ("FROM_UNIXTIME(44)", "1970-01-01 00:00:44"),
        ("UNIX_TIMESTAMP('1970-01-01 08:00:01.001', 'yyyy-MM-dd HH:mm:ss.SSS')", "28801"),
        ("UNIX_TIMESTAMP('1970-01-01 08:00:01.001 +0800', 'yyyy-MM-dd HH:mm:ss.SSS X')", "1"),
        (
            "UNIX_TIMESTAMP('1970-01-01 08:00:01.001', 'yyyy-MM-dd HH:mm:ss.SSS X')",
            "-9223372036854775808",
        ),
        ("TO_DATE('2013-01-05')", "2013-01-05"),
        ("TO_DATE('05.01.2013', 'dd.MM.yyyy')", "2013-01-05"),
        ("TO_TIMESTAMP('2013-01-05 15:04:09')", "2013-01-05T15:04:09"),
        ("TO_TIMESTAMP('nonsense')", "NULL"),
        ("TO_TIMESTAMP_LTZ(44, 0)", "1970-01-01T00:00:44Z"),
        ("TO_TIMESTAMP_LTZ(44001, 3)", "1970-01-01T00:00:44.001Z"),
        (
            "TO_TIMESTAMP_LTZ('1970-01-01 01:00:00', 'yyyy-MM-dd HH:mm:ss', 'Europe/Berlin')",
            "1970-01-01T00:00:00Z",
        ),
        ("DATE_FORMAT(TIMESTAMP '2013-01-05 15:04:09', 'yyyy-MM-dd''T''HH')", "2013-01-05T15"),
        ("DATE_FORMAT('2013-01-05 15:04:09', 'MM/dd')", "01/05"),
        (
            "TIMESTAMP '2013-01-05 00:00:00' + INTERVAL '10 00:00:00.004' DAY TO SECOND",
            "2013-01-15T00:00:00.004",
        ),
        ("DATE '2013-01-05' + INTERVAL '2-10' YEAR TO MONTH", "2015-11-05"),
        (
            "(TIMESTAMP '2013-01-01 02:55:00', INTERVAL '1' HOUR) OVERLAPS (TIMESTAMP '2013-01-01 03:30:00', INTERVAL '2' HOUR)",
            "true",
        ),
        (
            "(TIMESTAMP '2013-01-01 09:00:00', TIMESTAMP '2013-01-01 10:00:00') OVERLAPS (TIMESTAMP '2013-01-01 10:15:00', INTERVAL '3' HOUR)",
            "false",
        ),
    ]);
}

#[test]
fn conditions_and_types() {
    check(&[
        ("IF(5 > 3, 5, 3)", "5"),
        ("IFNULL(CAST(NULL AS INT), 5)", "5"),
        ("NULLIF(5, 5)", "NULL"),
        ("COALESCE(NULL, 'default')", "default"),
        ("IS_ALPHA('abc')", "true"),
        ("IS_ALPHA('a1')", "false"),
        ("IS_DIGIT('123')", "true"),
        ("IS_DECIMAL('-1.5')", "true"),
        ("IS_DECIMAL('1x')", "false"),
        ("TRY_CAST('non-number' AS INT)", "NULL"),
        ("CAST('hi' AS BYTES)", "6869"),
        ("CAST(CAST('hi' AS BYTES) AS STRING)", "hi"),
        ("CAST(TRUE AS INT)", "1"),
        ("CAST(0 AS BOOLEAN)", "false"),
        ("CAST(CAST(2.7 AS DECIMAL(4, 2)) AS DOUBLE)", "2.7"),
        ("COALESCE(TRY_CAST('non-number' AS INT), 0)", "0"),
        ("TYPEOF(n)", "INT"),
        ("'50%' LIKE '%#%' ESCAPE '#'", "true"),
        ("'500' LIKE '%#%' ESCAPE '#'", "false"),
        ("2 BETWEEN ASYMMETRIC 1 AND 3", "true"),
    ]);
}

#[test]
fn collections() {
    check(&[
        ("CARDINALITY(ARRAY[1, 2, 3])", "3"),
        ("ELEMENT(ARRAY[7])", "7"),
        ("ARRAY_APPEND(ARRAY[1, 2], 3)", "[1, 2, 3]"),
        ("ARRAY_PREPEND(ARRAY[1, 2], 3)", "[3, 1, 2]"),
        ("ARRAY_CONCAT(ARRAY[1], ARRAY[2], ARRAY[1])", "[1, 2, 1]"),
        ("ARRAY_CONTAINS(ARRAY[1, NULL], NULL)", "true"),
        ("ARRAY_CONTAINS(ARRAY[1, 2], 3)", "false"),
        ("ARRAY_DISTINCT(ARRAY[3, 1, 3, 2, 1])", "[3, 1, 2]"),
        ("ARRAY_POSITION(ARRAY[5, 6], 6)", "2"),
        ("ARRAY_POSITION(ARRAY[5, 6], 7)", "0"),
        ("ARRAY_REMOVE(ARRAY[1, 2, 1], 1)", "[2]"),
        ("ARRAY_REVERSE(ARRAY[1, 2, 3])", "[3, 2, 1]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], 2, 3)", "[2, 3]"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], -2)", "[3, 4]"),
        ("ARRAY_SLICE(ARRAY[1, 2], 3, 4)", "[]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1])", "[NULL, 1, 2]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], FALSE)", "[2, 1, NULL]"),
        ("ARRAY_SORT(ARRAY[2, NULL, 1], FALSE, TRUE)", "[NULL, 2, 1]"),
        ("ARRAY_UNION(ARRAY[1, 2], ARRAY[2, 3])", "[1, 2, 3]"),
        ("ARRAY_EXCEPT(ARRAY[1, 2, 2], ARRAY[1])", "[2]"),
        ("ARRAY_INTERSECT(ARRAY[3, 2, 1], ARRAY[1, 3])", "[3, 1]"),
        ("ARRAY_MAX(ARRAY[1, 3, NULL])", "3"),
        ("ARRAY_MIN(ARRAY[2, 1, NULL])", "1"),
        ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-')", "a-b"),
        ("ARRAY_JOIN(ARRAY['a', NULL, 'b'], '-', '?')", "a-?-b"),
        ("CARDINALITY(MAP['a', 1, 'b', 2])", "2"),
        ("MAP['a', 1]['a']", "1"),
        ("MAP_UNION(MAP['a', 1], MAP['a', 2, 'b', 3])", "{a: 2, b: 3}"),
        ("MAP_KEYS(MAP['a', 1])", "[a]"),
        ("MAP_FROM_ARRAYS(ARRAY['a'], ARRAY[1])", "{a: 1}"),
    ]);
    assert!(value("ELEMENT(ARRAY[1, 2])").starts_with("fails"));
}

#[test]
fn json() {
    check(&[
        ("'1' IS JSON", "true"),
        ("'abc' IS JSON", "false"),
        ("CAST(NULL AS STRING) IS JSON", "false"),
        ("'1' IS JSON SCALAR", "true"),
        ("'1' IS JSON ARRAY", "false"),
        ("'{}' IS JSON OBJECT", "true"),
        ("'{}' IS NOT JSON SCALAR", "true"),
        ("JSON_EXISTS('{\"a\": true}', '$.a')", "true"),
        ("JSON_EXISTS('{\"a\": true}', '$.b')", "false"),
        ("JSON_EXISTS('{\"a\": [{ \"b\": 1 }]}', '$.a[0].b')", "true"),
        ("JSON_EXISTS('{\"a\": true}', 'strict $.b' TRUE ON ERROR)", "true"),
        ("JSON_EXISTS('{\"a\": true}', 'strict $.b' FALSE ON ERROR)", "false"),
        ("JSON_STRING(CAST(NULL AS INT))", "NULL"),
        ("JSON_STRING(1)", "1"),
        ("JSON_STRING(TRUE)", "true"),
        ("JSON_STRING('Hello, World!')", "\"Hello, World!\""),
        ("JSON_STRING(ARRAY[1, 2])", "[1,2]"),
        ("JSON_VALUE('{\"a\": true}', '$.a')", "true"),
        ("JSON_VALUE('{\"a\": true}', '$.a' RETURNING BOOLEAN) IS TRUE", "true"),
        ("JSON_VALUE('{\"a\": true}', 'lax $.b' DEFAULT FALSE ON EMPTY)", "false"),
        ("JSON_VALUE('{\"a\": true}', 'strict $.b' DEFAULT FALSE ON ERROR)", "false"),
        ("JSON_VALUE('{\"a.b\": [0.998,0.996]}', '$[\"a.b\"][0]' RETURNING DOUBLE)", "0.998"),
        (
            "JSON_VALUE('{\"contains blank\": \"right\"}', 'strict $[''contains blank'']' NULL ON EMPTY DEFAULT 'wrong' ON ERROR)",
            "right",
        ),
        ("JSON_VALUE('{\"a\": [1]}', '$.a')", "NULL"),
        ("JSON_VALUE('{\"a\": 7}', '$.a' RETURNING INT) + 1", "8"),
        ("JSON_QUERY('{ \"a\": { \"b\": 1 } }', '$.a')", "{\"b\":1}"),
        ("JSON_QUERY('[1, 2]', '$')", "[1,2]"),
        ("JSON_QUERY(CAST(NULL AS STRING), '$')", "NULL"),
        (
            "JSON_QUERY('{\"a\":[{\"c\":\"c1\"},{\"c\":\"c2\"}]}', 'lax $.a[*].c')",
            "[\"c1\",\"c2\"]",
        ),
        (
            "JSON_QUERY('{\"a\":[{\"c\":\"c1\"},{\"c\":\"c2\"}]}', 'lax $.a[*].c' RETURNING ARRAY<STRING>)",
            "[c1, c2]",
        ),
        ("JSON_QUERY('{}', '$' WITH CONDITIONAL ARRAY WRAPPER)", "[{}]"),
        ("JSON_QUERY('[1, 2]', '$' WITH CONDITIONAL ARRAY WRAPPER)", "[1,2]"),
        ("JSON_QUERY('[1, 2]', '$' WITH UNCONDITIONAL ARRAY WRAPPER)", "[[1,2]]"),
        ("JSON_QUERY(1, '$')", "NULL"),
        ("JSON_QUERY(1, '$' WITH CONDITIONAL ARRAY WRAPPER)", "[1]"),
        ("JSON_QUERY('{}', 'lax $.invalid' EMPTY OBJECT ON EMPTY)", "{}"),
        ("JSON_QUERY('{}', 'strict $.invalid' EMPTY ARRAY ON ERROR)", "[]"),
        ("JSON_OBJECT()", "{}"),
        ("JSON_OBJECT('K1' VALUE 'V1', 'K2' VALUE 'V2')", "{\"K1\":\"V1\",\"K2\":\"V2\"}"),
        ("JSON_OBJECT(KEY 'K1' VALUE CAST(NULL AS STRING) NULL ON NULL)", "{\"K1\":null}"),
        ("JSON_OBJECT(KEY 'K1' VALUE CAST(NULL AS STRING) ABSENT ON NULL)", "{}"),
        ("JSON_OBJECT(KEY 'K1' VALUE JSON_OBJECT(KEY 'K2' VALUE 'V'))", "{\"K1\":{\"K2\":\"V\"}}"),
        ("JSON_ARRAY()", "[]"),
        ("JSON_ARRAY(1, '2')", "[1,\"2\"]"),
        ("JSON_ARRAY(CAST(NULL AS STRING) NULL ON NULL)", "[null]"),
        ("JSON_ARRAY(CAST(NULL AS STRING) ABSENT ON NULL)", "[]"),
        ("JSON_ARRAY(JSON_ARRAY(1))", "[[1]]"),
        ("JSON_QUOTE('a\"b')", "\"a\\\"b\""),
        ("JSON_UNQUOTE('\"a\\u0041\"')", "aA"),
        ("JSON_UNQUOTE('plain')", "plain"),
    ]);
    assert!(value("JSON_VALUE('{}', 'strict $.a' ERROR ON ERROR)").starts_with("fails"));
}

/// Of the empty text and of `abc`, as the standards publish them.
#[test]
fn digests() {
    check(&[
        ("MD5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA1('abc')", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("SHA224('abc')", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ("SHA256('abc')", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("SHA2('abc', 256)", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("SUBSTR(SHA512('abc'), 1, 8)", "ddaf35a1"),
        ("SUBSTR(SHA384('abc'), 1, 8)", "cb00753f"),
    ]);
}

#[test]
fn null_in_null_out() {
    for text in ["SPLIT_INDEX(s, ',', 0)", "REGEXP(s, 'a')", "HEX(n)", "SIGN(n)", "SHA1(s)"] {
        let with_null = text
            .replace("s,", "CAST(NULL AS STRING),")
            .replace("(n)", "(CAST(NULL AS INT))")
            .replace("(s)", "(CAST(NULL AS STRING))");
        assert_eq!(value(&with_null), "NULL", "{with_null}");
        assert_ne!(value(text), "NULL", "{text}");
    }
}

#[test]
fn wrong_arguments_are_refused_when_they_are_planned() {
    for (text, expected) in [
        ("SPLIT_INDEX(s, ',')", "takes 3 argument(s), not 2"),
        ("CONCAT(s, n)", "needs text here, but this is INT"),
        ("ARRAY_APPEND(n, 1)", "needs an array here"),
        ("CARDINALITY(s)", "takes an array or a map"),
    ] {
        let found = value(text);
        assert!(
            found.starts_with("does not compile") && found.contains(expected),
            "{text}: {found}"
        );
    }
}
