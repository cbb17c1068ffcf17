use omomi::contract::{CategoryLimit, OverLimit};

use super::*;

const SMALL: &str = r#"
name = "feed-ctr"
label = "clicked"

[[field]]
name = "media_id"
side = "context"
type = "id"
meaning = "the media on which the slot is"
log = "hashed"

[[field]]
name = "interest"
side = "context"
type = "text"
many = true
meaning = "interest categories of the user"

[[field]]
name = "floor_price"
side = "context"
type = "number"
unit = "JPY per 1,000 impressions"
range = [0.0, 100000]
buckets = [10.0, 50, 1e2]
meaning = "lowest bid the media accepts"

[[field]]
name = "creative_id"
side = "candidate"
type = "id"
meaning = "what is shown"

[[cross]]
fields = ["media_id", "creative_id"]
[[cross]]
fields = ["media_id", "interest"]
"#;

/// Returns the first fault of `SMALL` with `from` replaced by `to`, as text.
fn fault(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    let faults = parse_contract(&SMALL.replacen(from, to, 1)).unwrap_err();
    faults.0[0].to_string()
}

#[test]
fn toml_and_json_give_the_same_contract() {
    let json = r#"{"cross":[{"fields":["media_id","creative_id"]},{"fields":["media_id","interest"]}],"field":[{"log":"hashed","many":false,"meaning":"the media on which the slot is","name":"media_id","side":"context","type":"id"},{"log":"plain","many":true,"meaning":"interest categories of the user","name":"interest","side":"context","type":"text"},{"buckets":[10.0,50.0,100.0],"log":"plain","many":false,"meaning":"lowest bid the media accepts","name":"floor_price","range":[0.0,100000.0],"side":"context","type":"number","unit":"JPY per 1,000 impressions"},{"log":"plain","many":false,"meaning":"what is shown","name":"creative_id","side":"candidate","type":"id"}],"label":"clicked","name":"feed-ctr"}"#;
    assert_eq!(parse_contract(SMALL).unwrap(), Contract::from_json(json.as_bytes()).unwrap());
}

#[test]
fn each_fault_has_its_own_message_and_line() {
    let cases = [
        (
            "label = ",
            "lable = 1\nlabel = ",
            "line 3: contract: unknown key `lable`; known here: name, label, reading, field, cross",
        ),
        ("label = \"clicked\"", "", "contract: `label` is missing"),
        (
            "label = \"clicked\"",
            "label = \"interest\"",
            "line 3: contract: the label `interest` is also the name of a field",
        ),
        (
            "\"media_id\"\nside",
            "\"interest\"\nside",
            "line 13: field 2 (interest): the name is already taken by field 1",
        ),
        ("meaning = \"the media on which the slot is\"\n", "", "line 5: field 1 (media_id): `meaning` is missing"),
        ("\"the media on which the slot is\"", "\" \"", "line 9: field 1 (media_id): `meaning` is empty"),
        ("unit = \"JPY per 1,000 impressions\"\n", "", "line 19: field 3 (floor_price): `unit` is missing"),
        ("range = [0.0, 100000]\n", "", "line 19: field 3 (floor_price): a number needs a `range`: [min, max]"),
        (
            "[0.0, 100000]",
            "[5, 2]",
            "line 24: field 3 (floor_price): `range` must be two numbers, the smaller first, found [5,2]",
        ),
        (
            "[0.0, 100000]",
            "[0.0, inf]",
            "line 24: field 3 (floor_price): `range` must be two numbers, the smaller first, found [0.0,null]",
        ),
        (
            "buckets = [10.0, 50, 1e2]",
            "",
            "line 19: field 3 (floor_price): a number needs `buckets`: a list of edges, or { log2 = true }",
        ),
        (
            "[10.0, 50, 1e2]",
            "[10.0, 5]",
            "line 25: field 3 (floor_price): bucket edges must ascend: 10.0 comes before 5.0",
        ),
        (
            "[10.0, 50, 1e2]",
            "[10.0, 5e6]",
            "line 25: field 3 (floor_price): the bucket edge 5000000.0 is outside the range 0.0 to 100000.0",
        ),
        ("[10.0, 50, 1e2]", "[]", "line 25: field 3 (floor_price): expected 1 to 1024 bucket edges, found 0"),
        (
            "[10.0, 50, 1e2]",
            "{ log10 = true }",
            "line 25: field 3 (floor_price): `buckets` must be a list of edges or { log2 = true }, found {\"log10\":true}",
        ),
        (
            "type = \"id\"",
            "type = \"int\"",
            "line 8: field 1 (media_id): `type` must be one of id, text, number, found `int`",
        ),
        ("side = \"context\"", "side = 7", "line 7: field 1 (media_id): `side` must be text, found a number"),
        (
            "log = \"hashed\"",
            "log = \"secret\"",
            "line 10: field 1 (media_id): `log` must be one of plain, hashed, never, found `secret`",
        ),
        (
            "log = \"hashed\"",
            "unit = \"JPY\"",
            "line 10: field 1 (media_id): `unit` belongs to fields of type number only",
        ),
        ("many = true", "many = \"yes\"", "line 16: field 2 (interest): `many` must be true or false, found text"),
        (
            "unit =",
            "many = true\nunit =",
            "line 23: field 3 (floor_price): a number field has one value: `many` is only for id or text",
        ),
        (
            "\"media_id\", \"creative_id\"",
            "\"media_id\", \"creative\"",
            "line 35: cross 1: the contract has no field `creative` to cross",
        ),
        ("\"media_id\", \"creative_id\"", "\"media_id\"", "line 35: cross 1: a cross has 2 to 4 fields, found 1"),
        (
            "\"media_id\", \"creative_id\"",
            "\"media_id\", \"media_id\"",
            "line 35: cross 1: the field `media_id` is crossed with itself",
        ),
        (
            "\"media_id\", \"creative_id\"",
            "\"interest\", \"media_id\"",
            "line 36: cross 2: cross 1 already has the same fields",
        ),
        (
            "name = \"creative_id\"",
            "name = \"creative id\"",
            "line 29: field 4 (creative id): `name` must be at most 64 letters, digits and underscores, not starting with a digit, found `creative id`",
        ),
        ("name = \"feed-ctr\"", "name = ", "line 2: contract: not TOML:"),
    ];
    for (from, to, expected) in cases {
        let found = fault(from, to);
        assert!(found.starts_with(expected), "expected: {expected}\n   found: {found}");
    }
}

#[test]
fn category_limits_are_checked_and_stop_with_an_error_unless_the_contract_says_drop() {
    let limited = SMALL.replace("many = true", "many = true\nmax_categories = 1_000");
    let contract = parse_contract(&limited).unwrap();
    let expected = CategoryLimit { max: 1_000, over: OverLimit::Error };
    assert_eq!(contract.fields()[1].category_limit, Some(expected));
    let cases = [
        ("max_categories = 0", "`max_categories` must be a whole number of at least 1, found 0"),
        ("max_categories = 1.5", "`max_categories` must be a whole number of at least 1, found 1.5"),
        ("over_max = \"drop\"", "`over_max` needs `max_categories`, which is missing"),
        ("unseen = \"none\"", "`unseen` must be one of learned, zero, found `none`"),
        ("unseen = 0", "`unseen` must be text, found a number"),
        ("max_categories = 9\nover_max = \"keep\"", "`over_max` must be one of error, drop, found `keep`"),
    ];
    for (added, expected) in cases {
        let found = fault("many = true", &format!("many = true\n{added}"));
        assert!(found.ends_with(&format!("field 2 (interest): {expected}")), "{found}");
    }
    let found = fault("[\"media_id\", \"interest\"]", "[\"media_id\", \"interest\"]\nmax_categories = -1");
    assert!(found.ends_with("cross 2: `max_categories` must be a whole number of at least 1, found -1"), "{found}");
}

#[test]
fn all_faults_are_reported_together_in_the_order_of_the_file() {
    let damaged = SMALL.replace("side = \"context\"", "side = \"left\"").replace("log = \"hashed\"", "logg = 1");
    let faults = parse_contract(&damaged).unwrap_err();
    let lines: Vec<_> = faults.0.iter().map(|fault| fault.line.unwrap()).collect();
    assert_eq!(lines, [7, 10, 14, 21]);
}

#[test]
fn a_cross_of_two_many_fields_is_a_fault() {
    let many = SMALL
        .replace("meaning = \"what is shown\"", "meaning = \"x\"\nmany = true")
        .replace("[\"media_id\", \"interest\"]", "[\"creative_id\", \"interest\"]");
    let faults = parse_contract(&many).unwrap_err();
    assert!(
        faults.to_string().contains("a cross may have at most one `many` field, found creative_id, interest"),
        "{faults}"
    );
}

#[test]
fn a_side_may_have_64_fields_and_the_65th_is_a_fault() {
    let contract = |context_count: usize| {
        let mut text = String::from("name = \"wide\"\nlabel = \"clicked\"\n");
        for index in 0..context_count + 64 {
            let side = if index < context_count { "context" } else { "candidate" };
            text.push_str(&format!(
                "[[field]]\nname = \"f{index}\"\nside = \"{side}\"\ntype = \"id\"\nmeaning = \"m\"\n"
            ));
        }
        parse_contract(&text)
    };
    assert!(contract(64).is_ok());
    let faults = contract(65).unwrap_err();
    assert_eq!(faults.0[0].to_string(), "line 323: field 65 (f64): expected at most 64 context fields, found more");
}
