use super::*;
use crate::toml::parse_contract;

const CONTRACT: &str = r#"name = "feed-ctr"
label = "clicked"

[[field]]
name = "region"
side = "context"
type = "text"
meaning = "prefecture of the user"

[[field]]
name = "hour"
side = "context"
type = "id"
meaning = "hour of the day"

[[field]]
name = "price"
side = "candidate"
type = "number"
unit = "JPY"
range = [0.0, 100.0]
buckets = [10.0]
meaning = "price of the item"

[[cross]]
fields = ["region", "hour"]
"#;

fn contract(text: &str) -> Contract {
    parse_contract(text).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

fn changes(new: &str) -> Vec<(ChangeKind, String, String)> {
    let found = compare(&contract(CONTRACT), &contract(new)).changes;
    found.into_iter().map(|it| (it.kind, it.place, it.text)).collect()
}

fn one(kind: ChangeKind, place: &str, text: &str) -> Vec<(ChangeKind, String, String)> {
    vec![(kind, place.to_owned(), text.to_owned())]
}

#[test]
fn equal_contracts_have_no_difference_however_their_logs_are_read() {
    assert!(changes(CONTRACT).is_empty());
    let other_column = CONTRACT.replace("type = \"text\"", "type = \"text\"\ncolumn = \"user.pref\"");
    assert!(changes(&other_column).is_empty());
}

#[test]
fn each_change_of_one_key_is_one_change_with_what_to_do() {
    use ChangeKind::{Change, Check, Nothing};
    let replaced = |from: &str, to: &str| {
        assert!(CONTRACT.contains(from), "{from}");
        changes(&CONTRACT.replacen(from, to, 1))
    };
    let candidate = "name = \"hour\"\nside = \"candidate\"";
    assert_eq!(
        replaced("name = \"hour\"\nside = \"context\"", candidate),
        one(Change, "hour", "side: context -> candidate")
    );
    assert_eq!(replaced("type = \"id\"", "type = \"text\""), one(Change, "hour", "type: id -> text"));
    assert_eq!(
        replaced("type = \"id\"", "type = \"id\"\nmany = true"),
        one(Change, "hour", "values in a row: one value -> many values")
    );
    assert_eq!(replaced("unit = \"JPY\"", "unit = \"USD\""), one(Change, "price", "unit: JPY -> USD"));
    assert_eq!(
        replaced("range = [0.0, 100.0]", "range = [0, 1e300]"),
        one(Change, "price", "range: 0.0 to 100.0 -> 0.0 to 1e300")
    );
    let nfc = CONTRACT.replace("type = \"text\"", "type = \"text\"\nnormalize = \"nfc\"");
    let send = "send it in Unicode NFC: training normalizes it now, and scoring does not";
    assert_eq!(changes(&nfc), one(Change, "region", send));
    let back = compare(&contract(&nfc), &contract(CONTRACT)).changes;
    assert!(back[0].text.starts_with("send it as the log has it"), "{back:?}");
    assert_eq!(
        replaced("hour of the day", "hour in UTC"),
        one(Check, "hour", "meaning: hour of the day -> hour in UTC")
    );
    assert_eq!(
        replaced("type = \"id\"", "type = \"id\"\nlog = \"never\""),
        one(Check, "hour", "how a log of the server may write it: plain -> never")
    );
    assert_eq!(
        replaced("\"clicked\"", "\"bought\""),
        one(Check, "label", "what the probability is of: clicked -> bought")
    );
    assert_eq!(
        replaced("[10.0]", "{ log2 = true }"),
        one(Nothing, "price", "buckets: edges 10.0 -> a bucket per power of 2")
    );
    assert_eq!(replaced("feed-ctr", "feed"), one(Nothing, "name", "of the contract: feed-ctr -> feed"));
    assert_eq!(
        replaced("type = \"id\"", "type = \"id\"\nmax_categories = 9\nover_max = \"drop\""),
        one(Nothing, "hour", "the limit of its categories")
    );
    assert_eq!(
        replaced("type = \"id\"", "type = \"id\"\nunseen = \"zero\""),
        one(Nothing, "hour", "what unseen categories and missing values add: learned -> zero")
    );
    assert_eq!(
        replaced("[\"region\", \"hour\"]", "[\"region\", \"hour\"]\nmax_categories = 9"),
        one(Nothing, "region*hour", "the limit of its categories")
    );
}

#[test]
fn fields_and_crosses_come_and_go() {
    let crossed = CONTRACT.replace("[\"region\", \"hour\"]", "[\"hour\", \"price\"]");
    let found: Vec<String> =
        changes(&crossed).into_iter().map(|(kind, place, _)| format!("{} {place}", kind.word())).collect();
    assert_eq!(found, ["nothing hour*price", "nothing region*hour"]);
    let (fields, cross) = CONTRACT.split_once("[[cross]]").unwrap();
    let added = "[[field]]\nname = \"age\"\nside = \"candidate\"\ntype = \"number\"\nunit = \"hours\"\nrange = [0.0, 9.5]\nbuckets = [1.0]\n\
                 meaning = \"since it was made\"\n\n";
    let declare = "declare it and send it: candidate, number in hours, 0.0 to 9.5; since it was made";
    assert_eq!(changes(&format!("{fields}{added}[[cross]]{cross}")), one(ChangeKind::Change, "age", declare));
    let removed = compare(&contract(&format!("{fields}{added}[[cross]]{cross}")), &contract(CONTRACT)).changes;
    assert_eq!((removed.len(), removed[0].kind), (1, ChangeKind::Nothing));
    assert!(removed[0].text.contains("no longer read"), "{removed:?}");
}

#[test]
fn another_order_alone_is_a_difference() {
    let parts: Vec<&str> = CONTRACT.split("[[field]]").collect();
    let turned = [parts[0], parts[2], parts[1], parts[3]].join("[[field]]");
    assert_eq!(changes(&turned)[0].1, "order");
}

#[test]
fn names_are_those_of_the_language_and_never_collide() {
    let field =
        |name: &str| format!("[[field]]\nname = \"{name}\"\nside = \"context\"\ntype = \"id\"\nmeaning = \"x\"\n\n");
    let names =
        ["site_id", "siteId", "type", "_", "__1", "NULL", "CTRModel", "errno", "schema", "wait", "SCHEMA", "class"];
    let text: String = names.iter().map(|name| field(name)).collect();
    let contract = contract(&format!("name = \"広告 2-feed\"\nlabel = \"clicked\"\n\n{text}"));
    let of = |language| Names::new(&contract, language, None).unwrap();
    assert_eq!(
        of(Language::Scala).fields,
        [
            "siteId",
            "siteId_2",
            "typeField",
            "field",
            "field1",
            "nullField",
            "ctrModel",
            "errno",
            "schemaField",
            "waitField",
            "schemaField_2",
            "classField"
        ]
    );
    assert_eq!(of(Language::Java).fields[7..], ["ERRNO", "SCHEMA_FIELD", "WAIT", "SCHEMA_FIELD_2", "CLASS"]);
    assert_eq!(of(Language::C).fields[5..8], ["null", "ctr_model", "errno_field"]);
    assert_eq!(of(Language::Rust).fields[..3], ["site_id", "site_id_2", "type_field"]);
    assert_eq!(of(Language::Java).type_name, "Contract2Feed");
    let empty = omomi_name("広告");
    assert_eq!(Names::new(&empty, Language::C, None).unwrap().type_name, "ServerFields");
    assert_eq!(Names::new(&omomi_name("schema"), Language::Java, None).unwrap().type_name, "SchemaContract");
}

fn omomi_name(name: &str) -> Contract {
    contract(&CONTRACT.replacen("feed-ctr", name, 1))
}

#[test]
fn a_name_or_a_package_that_the_language_cannot_have_is_refused() {
    let made = |language, name: Option<&str>, package: Option<&str>| {
        let naming = Naming { name: name.map(str::to_owned), package: package.map(str::to_owned) };
        declaration(&contract(CONTRACT), language, &naming)
    };
    for name in ["", "1st", "Ad Fields", "広告", "class", "Schema", "a.b", "x\u{202e}"] {
        assert!(matches!(made(Language::Java, Some(name), None), Err(NamingError::Name { .. })), "{name:?}");
    }
    for package in ["", "com.", "com..ads", "com.class", "com.1ads", "com;ads"] {
        assert!(matches!(made(Language::Java, None, Some(package)), Err(NamingError::Package { .. })), "{package:?}");
    }
    assert_eq!(made(Language::C, None, Some("ads")), Err(NamingError::NoPackages));
    let made = made(Language::Java, Some("AdFields"), Some("com.example.ads")).unwrap();
    assert!(made.contains("package com.example.ads;\n") && made.contains("public final class AdFields {"), "{made}");
}

#[test]
fn each_language_says_which_texts_to_send_as_nfc() {
    let nfc = contract(&CONTRACT.replace("type = \"text\"", "type = \"text\"\nnormalize = \"nfc\""));
    for language in [Language::Scala, Language::Java, Language::C, Language::Rust] {
        let with = declaration(&nfc, language, &Naming::default()).unwrap();
        let flat =
            with.split_whitespace().filter(|word| !["*", "///", "//"].contains(word)).collect::<Vec<_>>().join(" ");
        assert!(flat.contains("region takes texts in Unicode NFC: training normalizes them"), "{with}");
        assert!(flat.contains("prefecture of the user. Send it as Unicode NFC"), "{with}");
        assert!(!declaration(&contract(CONTRACT), language, &Naming::default()).unwrap().contains("NFC"));
    }
}
