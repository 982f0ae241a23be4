//! Flink's built-in scalar functions as its documentation lists them, each with an example
//! that runs here, or why there is none. `docs/sql/functions.md` is made of this list, and a
//! test holds both equal and runs every example. Called by `lib` for the documentation.

use std::fmt::Write;

/// Whether a function of Flink is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    /// An example.
    Is(&'static str),
    /// An example that means something in a query only.
    InQuery(&'static str),
    /// Why it is missing.
    No(&'static str),
}

use Here::{InQuery, Is, No};

/// Name of a group, and its functions: Flink's form, and whether it is here.
type Group = (&'static str, &'static [(&'static str, Here)]);

pub(crate) const GROUPS: &[Group] = &[
    ("Comparison", COMPARISON),
    ("Logic", LOGIC),
    ("Arithmetic", ARITHMETIC),
    ("Texts", TEXTS),
    ("Time", TIME),
    ("Conditions", CONDITIONS),
    ("Conversion", CONVERSION),
    ("Collections", COLLECTIONS),
    ("JSON", JSON),
    ("Construction and access of values", VALUES),
    ("Digests", DIGESTS),
    ("Catalog", &[("CURRENT_DATABASE()", No("there is one catalog with one database"))]),
];

const COMPARISON: &[(&str, Here)] = &[
    ("value1 = value2", Is("1 = 2")),
    ("value1 <> value2", Is("1 <> 2")),
    ("value1 > value2", Is("1 > 2")),
    ("value1 >= value2", Is("1 >= 2")),
    ("value1 < value2", Is("1 < 2")),
    ("value1 <= value2", Is("1 <= 2")),
    ("value IS NULL", Is("1 IS NULL")),
    ("value IS NOT NULL", Is("1 IS NOT NULL")),
    ("value1 IS DISTINCT FROM value2", Is("1 IS DISTINCT FROM 2")),
    ("value1 IS NOT DISTINCT FROM value2", Is("1 IS NOT DISTINCT FROM 2")),
    ("value1 BETWEEN [ASYMMETRIC] value2 AND value3", Is("2 BETWEEN ASYMMETRIC 1 AND 3")),
    ("value1 BETWEEN SYMMETRIC value2 AND value3", Is("2 BETWEEN SYMMETRIC 3 AND 1")),
    ("value1 NOT BETWEEN value2 AND value3", Is("2 NOT BETWEEN 1 AND 3")),
    ("string1 LIKE string2 [ESCAPE char]", Is("'ab' LIKE 'a%' ESCAPE '#'")),
    ("string1 NOT LIKE string2 [ESCAPE char]", Is("'ab' NOT LIKE 'a%'")),
    ("string1 SIMILAR TO string2", Is("'ab' SIMILAR TO '(a|b)%'")),
    ("string1 NOT SIMILAR TO string2", Is("'ab' NOT SIMILAR TO 'c%'")),
    ("value1 IN (value2 [, value3]*)", Is("1 IN (1, 2)")),
    ("value1 NOT IN (value2 [, value3]*)", Is("1 NOT IN (1, 2)")),
    (
        "EXISTS (sub-query)",
        InQuery("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)"),
    ),
    ("value IN (sub-query)", InQuery("SELECT k FROM t WHERE k IN (SELECT k FROM u)")),
    ("value NOT IN (sub-query)", InQuery("SELECT k FROM t WHERE k NOT IN (SELECT k FROM u)")),
];

const LOGIC: &[(&str, Here)] = &[
    ("boolean1 OR boolean2", Is("TRUE OR FALSE")),
    ("boolean1 AND boolean2", Is("TRUE AND FALSE")),
    ("NOT boolean", Is("NOT TRUE")),
    ("boolean IS FALSE", Is("TRUE IS FALSE")),
    ("boolean IS NOT FALSE", Is("TRUE IS NOT FALSE")),
    ("boolean IS TRUE", Is("TRUE IS TRUE")),
    ("boolean IS NOT TRUE", Is("TRUE IS NOT TRUE")),
    ("boolean IS UNKNOWN", Is("TRUE IS UNKNOWN")),
    ("boolean IS NOT UNKNOWN", Is("TRUE IS NOT UNKNOWN")),
];

const ARITHMETIC: &[(&str, Here)] = &[
    ("+ numeric", Is("+ 1")),
    ("- numeric", Is("- 1")),
    ("numeric1 + numeric2", Is("1 + 2")),
    ("numeric1 - numeric2", Is("1 - 2")),
    ("numeric1 * numeric2", Is("1 * 2")),
    ("numeric1 / numeric2", Is("1 / 2")),
    ("numeric1 % numeric2, MOD(numeric1, numeric2)", Is("MOD(5, 3)")),
    ("POWER(numeric1, numeric2)", Is("POWER(2, 3)")),
    ("ABS(numeric)", Is("ABS(-1)")),
    ("SQRT(numeric)", Is("SQRT(4)")),
    ("LN(numeric)", Is("LN(1)")),
    ("LOG10(numeric)", Is("LOG10(100)")),
    ("LOG2(numeric)", Is("LOG2(8)")),
    ("LOG([numeric1,] numeric2)", Is("LOG(2, 8)")),
    ("EXP(numeric)", Is("EXP(0)")),
    ("CEIL(numeric), CEILING(numeric)", Is("CEILING(1.5)")),
    ("FLOOR(numeric)", Is("FLOOR(1.5)")),
    ("SIN(numeric)", Is("SIN(0)")),
    ("SINH(numeric)", Is("SINH(0)")),
    ("COS(numeric)", Is("COS(0)")),
    ("TAN(numeric)", Is("TAN(0)")),
    ("TANH(numeric)", Is("TANH(0)")),
    ("COT(numeric)", Is("COT(1)")),
    ("ASIN(numeric)", Is("ASIN(0)")),
    ("ACOS(numeric)", Is("ACOS(1)")),
    ("ATAN(numeric)", Is("ATAN(0)")),
    ("ATAN2(numeric1, numeric2)", Is("ATAN2(0, 1)")),
    ("COSH(numeric)", Is("COSH(0)")),
    ("DEGREES(numeric)", Is("DEGREES(0)")),
    ("RADIANS(numeric)", Is("RADIANS(0)")),
    ("SIGN(numeric)", Is("SIGN(-3)")),
    ("ROUND(numeric, INT)", Is("ROUND(1.25, 1)")),
    ("PI()", Is("PI()")),
    ("E()", Is("E()")),
    ("RAND()", Is("RAND()")),
    ("RAND(INT)", Is("RAND(7)")),
    ("RAND_INTEGER(INT)", Is("RAND_INTEGER(10)")),
    ("RAND_INTEGER(INT1, INT2)", Is("RAND_INTEGER(7, 10)")),
    ("UUID()", InQuery("SELECT UUID() AS id FROM t")),
    ("BIN(INT)", Is("BIN(4)")),
    ("HEX(numeric), HEX(string)", Is("HEX('hello,world')")),
    ("UNHEX(expr)", Is("UNHEX('466C696E6B')")),
    ("TRUNCATE(numeric1[, integer2])", Is("TRUNCATE(42.324, 2)")),
];

const TEXTS: &[(&str, Here)] = &[
    ("string1 || string2", Is("'a' || 'b'")),
    ("CHAR_LENGTH(string), CHARACTER_LENGTH(string)", Is("CHAR_LENGTH('a')")),
    ("UPPER(string)", Is("UPPER('a')")),
    ("LOWER(string)", Is("LOWER('A')")),
    ("POSITION(string1 IN string2)", Is("POSITION('b' IN 'abc')")),
    ("PRINTF(format[, obj]*)", Is("PRINTF('%s-%05d', 'a', 7)")),
    ("TRIM([BOTH | LEADING | TRAILING] string1 FROM string2)", Is("TRIM(LEADING 'x' FROM 'xa')")),
    ("LTRIM(str[, trimStr])", Is("LTRIM('xa', 'x')")),
    ("RTRIM(str[, trimStr])", Is("RTRIM('ax', 'x')")),
    ("BTRIM(str[, trimStr])", Is("BTRIM('xax', 'x')")),
    ("REPEAT(string, int)", Is("REPEAT('a', 3)")),
    ("REGEXP_REPLACE(string1, string2, string3)", Is("REGEXP_REPLACE('foobar', 'oo|ar', '')")),
    (
        "OVERLAY(string1 PLACING string2 FROM integer1 [FOR integer2])",
        Is("OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6)"),
    ),
    ("STARTSWITH(expr, startExpr)", Is("STARTSWITH('abc', 'ab')")),
    ("ENDSWITH(expr, endExpr)", Is("ENDSWITH('abc', 'bc')")),
    ("SUBSTRING(string FROM integer1 [FOR integer2])", Is("SUBSTRING('abc' FROM 2 FOR 1)")),
    ("REPLACE(string1, string2, string3)", Is("REPLACE('ababab', 'abab', 'z')")),
    ("REGEXP_COUNT(str, regex)", Is("REGEXP_COUNT('aXbX', 'X')")),
    (
        "REGEXP_EXTRACT(string1, string2[, integer])",
        Is("REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2)"),
    ),
    (
        "REGEXP_EXTRACT_ALL(str, regex[, extractIndex])",
        Is("REGEXP_EXTRACT_ALL('a1b2', '([a-z])[0-9]')"),
    ),
    ("REGEXP_INSTR(str, regex)", Is("REGEXP_INSTR('a1', '[0-9]')")),
    ("REGEXP_SUBSTR(str, regex)", Is("REGEXP_SUBSTR('a1', '[0-9]')")),
    ("TRANSLATE(expr, fromStr, toStr)", Is("TRANSLATE('abc', 'ab', 'x')")),
    ("INITCAP(string)", Is("INITCAP('a b')")),
    ("CONCAT(string1, string2, ...)", Is("CONCAT('AA', 'BB', 'CC')")),
    ("CONCAT_WS(string1, string2, ...)", Is("CONCAT_WS('~', 'AA', 'BB')")),
    ("LPAD(string1, integer, string2)", Is("LPAD('hi', 4, '??')")),
    ("RPAD(string1, integer, string2)", Is("RPAD('hi', 4, '??')")),
    ("FROM_BASE64(string)", Is("FROM_BASE64('aGVsbG8gd29ybGQ=')")),
    ("TO_BASE64(string)", Is("TO_BASE64('hello world')")),
    ("ASCII(string)", Is("ASCII('abc')")),
    ("CHR(integer)", Is("CHR(97)")),
    ("DECODE(binary, string)", Is("DECODE(ENCODE('a', 'UTF-8'), 'UTF-8')")),
    ("ENCODE(string1, string2)", Is("ENCODE('a', 'UTF-16LE')")),
    ("INSTR(string1, string2)", Is("INSTR('abc', 'c')")),
    ("LEFT(string, integer)", Is("LEFT('abc', 2)")),
    ("RIGHT(string, integer)", Is("RIGHT('abc', 2)")),
    ("LOCATE(string1, string2[, integer])", Is("LOCATE('a', 'banana', 3)")),
    ("URL_DECODE(string)", Is("URL_DECODE('a+b%21')")),
    ("URL_ENCODE(string)", Is("URL_ENCODE('a b!')")),
    ("PARSE_URL(string1, string2[, string3])", Is("PARSE_URL('http://h/p?k=v', 'QUERY', 'k')")),
    ("REGEXP(string1, string2)", Is("REGEXP('abc', 'b')")),
    ("REVERSE(string)", Is("REVERSE('abc')")),
    ("SPLIT_INDEX(string1, string2, integer1)", Is("SPLIT_INDEX('a,b', ',', 1)")),
    ("STR_TO_MAP(string1[, string2, string3])", Is("STR_TO_MAP('a=1,b=2')")),
    ("SUBSTR(string, integer1[, integer2])", Is("SUBSTR('abc', -2)")),
    ("JSON_QUOTE(string)", Is("JSON_QUOTE('a\"b')")),
    ("JSON_UNQUOTE(string)", Is("JSON_UNQUOTE('\"a\"')")),
    ("ELT(index, expr[, exprs]*)", Is("ELT(2, 'a', 'b')")),
];

const TIME: &[(&str, Here)] = &[
    ("DATE string", Is("DATE '2013-01-05'")),
    ("TIME string", Is("TIME '15:04:09'")),
    ("TIMESTAMP string", Is("TIMESTAMP '2013-01-05 15:04:09'")),
    (
        "INTERVAL string range",
        Is("TIMESTAMP '2013-01-05 00:00:00' + INTERVAL '1 02:00:00' DAY TO SECOND"),
    ),
    ("LOCALTIME", InQuery("SELECT LOCALTIME AS x FROM t")),
    ("LOCALTIMESTAMP", InQuery("SELECT LOCALTIMESTAMP AS x FROM t")),
    ("CURRENT_TIME", InQuery("SELECT CURRENT_TIME AS x FROM t")),
    ("CURRENT_DATE", InQuery("SELECT CURRENT_DATE AS x FROM t")),
    ("CURRENT_TIMESTAMP", InQuery("SELECT CURRENT_TIMESTAMP AS x FROM t")),
    ("NOW()", InQuery("SELECT NOW() AS x FROM t")),
    ("CURRENT_ROW_TIMESTAMP()", Is("CURRENT_ROW_TIMESTAMP()")),
    ("EXTRACT(timeintervalunit FROM temporal)", Is("EXTRACT(DAY FROM DATE '2006-06-05')")),
    ("YEAR(date)", Is("YEAR(DATE '1994-09-27')")),
    ("QUARTER(date)", Is("QUARTER(DATE '1994-09-27')")),
    ("MONTH(date)", Is("MONTH(DATE '1994-09-27')")),
    ("WEEK(date)", Is("WEEK(DATE '1994-09-27')")),
    ("DAYOFYEAR(date)", Is("DAYOFYEAR(DATE '1994-09-27')")),
    ("DAYOFMONTH(date)", Is("DAYOFMONTH(DATE '1994-09-27')")),
    ("DAYOFWEEK(date)", Is("DAYOFWEEK(DATE '1994-09-27')")),
    ("HOUR(timestamp)", Is("HOUR(TIMESTAMP '1994-09-27 13:14:15')")),
    ("MINUTE(timestamp)", Is("MINUTE(TIMESTAMP '1994-09-27 13:14:15')")),
    ("SECOND(timestamp)", Is("SECOND(TIMESTAMP '1994-09-27 13:14:15')")),
    ("FLOOR(timepoint TO timeintervalunit)", Is("FLOOR(TIME '12:44:31' TO MINUTE)")),
    ("CEIL(timepoint TO timeintervalunit)", Is("CEIL(TIME '12:44:31' TO MINUTE)")),
    (
        "(timepoint1, temporal1) OVERLAPS (timepoint2, temporal2)",
        Is("(DATE '2013-01-01', DATE '2013-01-05') OVERLAPS (DATE '2013-01-04', INTERVAL '2' DAY)"),
    ),
    (
        "DATE_FORMAT(timestamp, string)",
        Is("DATE_FORMAT(TIMESTAMP '2013-01-05 15:04:09', 'yyyy/MM')"),
    ),
    (
        "TIMESTAMPADD(timeintervalunit, interval, timepoint)",
        Is("TIMESTAMPADD(WEEK, 1, DATE '2013-01-02')"),
    ),
    (
        "TIMESTAMPDIFF(timepointunit, timepoint1, timepoint2)",
        Is("TIMESTAMPDIFF(DAY, DATE '2013-01-01', DATE '2013-01-05')"),
    ),
    (
        "CONVERT_TZ(string1, string2, string3)",
        Is("CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles')"),
    ),
    ("FROM_UNIXTIME(numeric[, string])", Is("FROM_UNIXTIME(44)")),
    ("UNIX_TIMESTAMP()", InQuery("SELECT UNIX_TIMESTAMP() AS x FROM t")),
    ("UNIX_TIMESTAMP(string1[, string2])", Is("UNIX_TIMESTAMP('1970-01-01 00:00:44')")),
    ("TO_DATE(string1[, string2])", Is("TO_DATE('05.01.2013', 'dd.MM.yyyy')")),
    ("TO_TIMESTAMP_LTZ(numeric, precision)", Is("TO_TIMESTAMP_LTZ(44, 0)")),
    ("TO_TIMESTAMP(string1[, string2])", Is("TO_TIMESTAMP('2013-01-05 15:04:09')")),
    ("CURRENT_WATERMARK(rowtime)", No("watermarks are no values of rows")),
];

const CONDITIONS: &[(&str, Here)] = &[
    ("CASE value WHEN value1 THEN result1 ... END", Is("CASE 1 WHEN 1 THEN 'a' ELSE 'b' END")),
    ("CASE WHEN condition1 THEN result1 ... END", Is("CASE WHEN TRUE THEN 'a' END")),
    ("NULLIF(value1, value2)", Is("NULLIF(5, 0)")),
    ("COALESCE(value1 [, value2]*)", Is("COALESCE(NULL, 'default')")),
    ("IF(condition, true_value, false_value)", Is("IF(5 > 3, 5, 3)")),
    ("IFNULL(input, null_replacement)", Is("IFNULL(1, 5)")),
    ("IS_ALPHA(string)", Is("IS_ALPHA('a')")),
    ("IS_DECIMAL(string)", Is("IS_DECIMAL('1.5')")),
    ("IS_DIGIT(string)", Is("IS_DIGIT('1')")),
    ("GREATEST(value1[, value2]*)", Is("GREATEST(1, 2)")),
    ("LEAST(value1[, value2]*)", Is("LEAST(1, 2)")),
];

const CONVERSION: &[(&str, Here)] = &[
    ("CAST(value AS type)", Is("CAST('42' AS INT)")),
    ("TRY_CAST(value AS type)", Is("TRY_CAST('non-number' AS INT)")),
    ("TYPEOF(input[, force_serializable])", Is("TYPEOF(1)")),
];

const COLLECTIONS: &[(&str, Here)] = &[
    ("CARDINALITY(array)", Is("CARDINALITY(ARRAY[1, 2])")),
    ("array '[' INT ']'", Is("ARRAY[1, 2][1]")),
    ("ELEMENT(array)", Is("ELEMENT(ARRAY[1])")),
    ("CARDINALITY(map)", Is("CARDINALITY(MAP['a', 1])")),
    ("map '[' value ']'", Is("MAP['a', 1]['a']")),
    ("ARRAY_APPEND(array, element)", Is("ARRAY_APPEND(ARRAY[1], 2)")),
    ("ARRAY_CONTAINS(haystack, needle)", Is("ARRAY_CONTAINS(ARRAY[1], 1)")),
    ("ARRAY_DISTINCT(haystack)", Is("ARRAY_DISTINCT(ARRAY[1, 1])")),
    ("ARRAY_POSITION(haystack, needle)", Is("ARRAY_POSITION(ARRAY[1], 1)")),
    ("ARRAY_PREPEND(array, element)", Is("ARRAY_PREPEND(ARRAY[1], 2)")),
    ("ARRAY_REMOVE(haystack, needle)", Is("ARRAY_REMOVE(ARRAY[1], 1)")),
    ("ARRAY_REVERSE(haystack)", Is("ARRAY_REVERSE(ARRAY[1, 2])")),
    ("ARRAY_SLICE(array, start_offset[, end_offset])", Is("ARRAY_SLICE(ARRAY[1, 2, 3], 2)")),
    ("ARRAY_SORT(array[, ascending_order[, null_first]])", Is("ARRAY_SORT(ARRAY[2, 1], FALSE)")),
    ("ARRAY_UNION(array1, array2)", Is("ARRAY_UNION(ARRAY[1], ARRAY[2])")),
    ("ARRAY_CONCAT(array1, ...)", Is("ARRAY_CONCAT(ARRAY[1], ARRAY[2])")),
    ("ARRAY_EXCEPT(array1, array2)", Is("ARRAY_EXCEPT(ARRAY[1], ARRAY[2])")),
    ("ARRAY_INTERSECT(array1, array2)", Is("ARRAY_INTERSECT(ARRAY[1], ARRAY[2])")),
    ("ARRAY_MAX(array)", Is("ARRAY_MAX(ARRAY[1, 2])")),
    ("ARRAY_JOIN(array, delimiter[, nullReplacement])", Is("ARRAY_JOIN(ARRAY['a', 'b'], '-')")),
    ("ARRAY_MIN(array)", Is("ARRAY_MIN(ARRAY[1, 2])")),
    ("MAP_KEYS(map)", Is("MAP_KEYS(MAP['a', 1])")),
    ("MAP_UNION(map1, ...)", Is("MAP_UNION(MAP['a', 1], MAP['b', 2])")),
    ("MAP_VALUES(map)", Is("MAP_VALUES(MAP['a', 1])")),
    ("MAP_ENTRIES(map)", Is("MAP_ENTRIES(MAP['a', 1])")),
    (
        "MAP_FROM_ARRAYS(array_of_keys, array_of_values)",
        Is("MAP_FROM_ARRAYS(ARRAY['a'], ARRAY[1])"),
    ),
    ("SPLIT(string, delimiter)", Is("SPLIT('a,b', ',')")),
];

const JSON: &[(&str, Here)] = &[
    ("IS JSON [VALUE | SCALAR | ARRAY | OBJECT]", Is("'[]' IS JSON ARRAY")),
    (
        "JSON_EXISTS(jsonValue, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])",
        Is("JSON_EXISTS('{\"a\": 1}', '$.a')"),
    ),
    ("JSON_STRING(value)", Is("JSON_STRING(TRUE)")),
    (
        "JSON_VALUE(jsonValue, path [RETURNING type] [... ON EMPTY] [... ON ERROR])",
        Is("JSON_VALUE('{\"a\": true}', '$.a' RETURNING BOOLEAN)"),
    ),
    (
        "JSON_QUERY(jsonValue, path [RETURNING type] [... WRAPPER] [... ON EMPTY] [... ON ERROR])",
        Is("JSON_QUERY('{}', '$' WITH CONDITIONAL ARRAY WRAPPER)"),
    ),
    (
        "JSON_OBJECT([[KEY] key VALUE value]* [{NULL | ABSENT} ON NULL])",
        Is("JSON_OBJECT('K1' VALUE 'V1')"),
    ),
    ("JSON_ARRAY([value]* [{NULL | ABSENT} ON NULL])", Is("JSON_ARRAY(1, '2')")),
];

const VALUES: &[(&str, Here)] = &[
    ("ROW(value1 [, value2]*)", Is("ROW(1, 'a')")),
    ("(value1 [, value2]*)", No("write ROW before it")),
    ("ARRAY '[' value1 [, value2]* ']'", Is("ARRAY[1, 2]")),
    ("MAP '[' value1, value2 [, value3, value4]* ']'", Is("MAP['a', 1, 'b', 2]")),
    ("tableName.compositeType.field", InQuery("SELECT t.r.x FROM t")),
    ("tableName.compositeType.*", No("name the fields")),
];

const DIGESTS: &[(&str, Here)] = &[
    ("MD5(string)", Is("MD5('a')")),
    ("SHA1(string)", Is("SHA1('a')")),
    ("SHA224(string)", Is("SHA224('a')")),
    ("SHA256(string)", Is("SHA256('a')")),
    ("SHA384(string)", Is("SHA384('a')")),
    ("SHA512(string)", Is("SHA512('a')")),
    ("SHA2(string, hashLength)", Is("SHA2('a', 256)")),
];

/// `docs/sql/functions.md`.
pub(crate) fn markdown() -> String {
    let all = GROUPS.iter().flat_map(|(_, group)| group.iter());
    let (mut here, mut total) = (0, 0);
    for (_, found) in all {
        total += 1;
        here += usize::from(!matches!(found, No(_)));
    }
    let mut out = format!(
        "# Scalar functions\n\nFlink's built-in scalar functions as its documentation lists them, with ours beside each: \
         {here} of {total} are here ({}%).\nMade from the registry (`crates/sql/src/reference.rs`); a test holds this file \
         equal and runs every example.\n\nThe session's time zone is UTC. Functions of the present and of chance give \
         other values when rows are computed again after a failure.\nThey stand in queries; an expression of a job \
         file refuses all but `CURRENT_ROW_TIMESTAMP()`, `RAND` and `RAND_INTEGER`.\n",
        here * 100 / total
    );
    // Writing to a String cannot fail.
    for (name, group) in GROUPS {
        let _ = writeln!(out, "\n## {name}\n\n| Flink | here |\n|---|---|");
        for (flink, found) in *group {
            let cell = |text: &str| text.replace('|', "\\|");
            let here = match found {
                Is(example) | InQuery(example) => format!("`{}`", cell(example)),
                No(why) => format!("no: {why}"),
            };
            let _ = writeln!(out, "| `{}` | {here} |", cell(flink));
        }
    }
    out.push_str(
        "\nBeyond Flink's, every scalar and array function of DataFusion that has no other meaning in Flink can be \
         called; `SHOW FUNCTIONS` in `streamctl sql` lists all names.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::{Int32Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    /// `Is` compiles and runs; a query at least has every name it needs.
    #[test]
    fn every_example_runs() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        let batch =
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int32Array::from(vec![1, 2]))]);
        let batch = batch.unwrap();
        let mut failed = Vec::new();
        for (flink, here) in GROUPS.iter().flat_map(|(_, group)| group.iter()) {
            let Is(example) = here else { continue };
            match crate::expressions().compile(example, &schema) {
                Ok(compiled) => {
                    if let Err(error) = compiled.evaluate(&batch) {
                        failed.push(format!("{flink}: `{example}` fails: {}", error.chain()));
                    }
                }
                Err(error) => failed.push(format!("{flink}: `{example}`: {}", error.message)),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn most_of_flinks_functions_are_here() {
        let all: Vec<&Here> = GROUPS.iter().flat_map(|(_, g)| g.iter()).map(|(_, h)| h).collect();
        let missing = all.iter().filter(|h| matches!(h, No(_))).count();
        assert!(missing * 20 <= all.len(), "{missing} of {} are missing", all.len());
        assert!(all.len() > 200, "{}", all.len());
    }

    /// `UPDATE_GOLDEN=1` writes it.
    #[test]
    fn the_documentation_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql/functions.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == markdown(), "docs/sql/functions.md differs; UPDATE_GOLDEN=1 writes it");
    }
}
