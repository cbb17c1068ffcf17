use super::*;
use crate::toml::parse_contract;

/// No column of the log but the one that copies it tells the label.
fn is_clicked(row: u64) -> bool {
    xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()) % 10 == 3
}

/// A log with a column of every kind that a draft tells apart.
fn log() -> String {
    let mut text = "時刻,clicked,user id,creative_id,price,tags,constant,row_id,bought,note,empty\n".to_owned();
    for row in 0_u64..2_000 {
        let clicked = is_clicked(row);
        let price = (row * 7919 % 1_000) as f64 / 8.0;
        text.push_str(&format!(
            "2026-01-01 00:{:02}:00,{},{},{},{price},{},1,r{row},{},{},\n",
            row % 60,
            u8::from(clicked),
            row % 300,
            row * 31 % 40,
            if row.is_multiple_of(3) { "a|b" } else { "b" },
            u8::from(clicked),
            if row.is_multiple_of(4) { "" } else { ["x", "y"][(row % 2) as usize] },
        ));
    }
    text
}

fn draft(name: &str, log: &str, label: &str) -> Result<Draft, DraftError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, log).unwrap();
    let options = DraftOptions {
        logs: vec![path.display().to_string()],
        label: label.to_owned(),
        max_rows: 1_000_000,
        read: ReadOptions::default(),
    };
    draft_contract(&options, &mut |_| ())
}

fn filled(text: &str) -> String {
    text.replace("meaning = \"\"", "meaning = \"something\"").replace("unit = \"\"", "unit = \"yen\"")
}

#[test]
fn a_draft_passes_the_check_once_its_meanings_are_filled_in() {
    let draft = draft("log.csv", &log(), "clicked").unwrap();
    let clicks = (0..2_000).filter(|&row| is_clicked(row)).count() as u64;
    assert_eq!((draft.row_count, draft.click_count), (2_000, clicks));
    assert!(parse_contract(&draft.text).is_err(), "a draft says what people must fill in");
    let text = filled(&draft.text).replace("{ quantiles = 16 }", "[10.0]");
    let contract = parse_contract(&text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let fields: Vec<String> = contract
        .fields()
        .iter()
        .map(|field| format!("{} {} {} {}", field.name, field.side.word(), field.kind.word(), field.many))
        .collect();
    let expected = [
        "user_id context an id false",
        "creative_id candidate an id false",
        "price context a number false",
        "tags context a text true",
        "note context a text false",
    ];
    let words = |text: &str| text.replace("an id", "id").replace("a number", "number").replace("a text", "text");
    let fields: Vec<String> = fields.iter().map(|field| words(field)).collect();
    assert_eq!(fields, expected.map(words), "{text}");
    assert_eq!(contract.field_column(0), "user id");
}

#[test]
fn suspicious_columns_are_left_out_with_the_reason() {
    let draft = draft("log.csv", &log(), "clicked").unwrap();
    let left = |name: &str| match draft.columns.iter().find(|(facts, _)| facts.name == name) {
        Some((_, Guess::Left(suspicion))) => *suspicion,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(left("時刻"), Suspicion::Time);
    assert_eq!(left("constant"), Suspicion::Constant);
    assert_eq!(left("row_id"), Suspicion::OneValuePerRow);
    assert_eq!(left("empty"), Suspicion::Empty);
    assert!(matches!(left("bought"), Suspicion::Leak { explained } if explained > 0.9));
    assert!(draft.text.contains("#   bought: it tells 9"), "{}", draft.text);
}

#[test]
fn labels_in_words_are_guessed_and_no_label_is_an_error() {
    let text = "answer,site\n".to_owned() + &"no,1\nno,2\nyes,1\n".repeat(100);
    let words = draft("log.csv", &text, "answer").unwrap();
    assert!(words.text.contains("clicked = [\"yes\"]") && words.text.contains("not_clicked = [\"no\"]"));
    assert_eq!(words.click_count, 100);
    let contract = parse_contract(&filled(&words.text)).unwrap();
    assert_eq!(contract.label(), "answer");
    for (text, label, expected) in [
        ("a,b\n1,2\n", "clicked", "found the columns a, b"),
        ("a,b\n1,2\n", "a", "expected two values in the label column `a`, found `1`"),
        ("a,b\n1,2\n2,2\n3,2\n4,2\n5,2\n", "a", "found `1`, `2`, `3`, `4` and more"),
    ] {
        let error = draft("log.csv", text, label).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn lists_and_nested_keys_of_json_become_fields() {
    let line = |row: usize| {
        let (clicked, site) = (row.is_multiple_of(5), row % 7);
        format!(
            r#"{{"clicked":{clicked},"user":{{"site":{site},"tags":["t{site}","u"]}},"ids":[{site},{row}],"m":[{{}}]}}"#
        )
    };
    let text: String = (0..500).map(|row| line(row) + "\n").collect();
    let draft = draft("log.jsonl", &text, "clicked").unwrap();
    let contract = parse_contract(&filled(&draft.text)).unwrap_or_else(|faults| panic!("{faults}\n{}", draft.text));
    let columns: Vec<(&str, bool)> = (0..contract.fields().len())
        .map(|index| (contract.field_column(index), contract.fields()[index].many))
        .collect();
    assert_eq!(columns, [("ids", true), ("user.site", false), ("user.tags", true)], "{}", draft.text);
    assert!(draft.text.contains("#   m: no field can read its values"));
}
