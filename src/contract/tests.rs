use super::*;

fn small() -> Contract {
    Contract::from_json(small_json().as_bytes()).unwrap()
}

fn small_json() -> String {
    r#"{"cross":[{"fields":["media_id","creative_id"]},{"fields":["media_id","interest"]}],"field":[{"log":"hashed","many":false,"meaning":"the media on which the slot is","name":"media_id","side":"context","type":"id"},{"log":"plain","many":true,"meaning":"interest categories of the user","name":"interest","side":"context","type":"text"},{"buckets":[10.0,50.0,100.0],"log":"plain","many":false,"meaning":"lowest bid the media accepts","name":"floor_price","range":[0.0,100000.0],"side":"context","type":"number","unit":"JPY per 1,000 impressions"},{"log":"plain","many":false,"meaning":"what is shown","name":"creative_id","side":"candidate","type":"id"}],"label":"clicked","name":"feed-ctr"}"#.to_owned()
}

#[test]
fn canonical_json_does_not_depend_on_the_layout_that_was_read() {
    let contract = small();
    assert_eq!(contract.canonical_json(), small_json());
    let spaced = small_json().replace("},{", "} ,\n {");
    assert_eq!(Contract::from_json(spaced.as_bytes()).unwrap().canonical_json(), small_json());
    // Published contracts are identified by this number: it must not change.
    assert_eq!(contract.fingerprint(), 0x0dee_9fd4_8e91_8f08);
}

#[test]
fn category_limits_are_in_the_canonical_json_only_if_the_contract_has_them() {
    let limited = small_json()
        .replace(r#""many":true,"#, r#""many":true,"max_categories":1000000,"#)
        .replace(r#""name":"interest","#, r#""name":"interest","over_max":"error","#)
        .replace(r#"["media_id","interest"]}"#, r#"["media_id","interest"],"max_categories":5,"over_max":"drop"}"#);
    let contract = Contract::from_json(limited.as_bytes()).unwrap();
    assert_eq!(contract.canonical_json(), limited);
    let expected = CategoryLimit { max: 1_000_000, over: OverLimit::Error };
    assert_eq!(contract.fields()[1].category_limit, Some(expected));
    assert_eq!(contract.crosses()[1].category_limit, Some(CategoryLimit { max: 5, over: OverLimit::Drop }));
    assert_eq!((contract.fields()[0].category_limit, contract.crosses()[0].category_limit), (None, None));
    assert_ne!(contract.fingerprint(), small().fingerprint());
}

/// Each name of a field was compared with all names before it, and each unknown key was recorded as a fault. Hostile
/// bytes therefore cost hours and gigabytes, up to the 16 MiB that a contract in a weight file could then have.
#[test]
fn very_many_fields_or_faults_cost_no_more_than_a_few() {
    let fields: Vec<String> = (0..200_000).map(|index| format!("{{\"name\":\"f{index}\"}}")).collect();
    let faults = Contract::from_json(format!("{{\"field\":[{}]}}", fields.join(",")).as_bytes()).unwrap_err();
    assert!(faults.to_string().contains("expected at most 128 fields, found more"), "{faults}");
    let keys: Vec<String> = (0..200_000).map(|index| format!("\"k{index}\":0")).collect();
    let faults = Contract::from_json(format!("{{{}}}", keys.join(",")).as_bytes()).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
    assert!(faults.to_string().contains("unknown key `k0`"), "{faults}");
}

/// A name of 2 MB was repeated in each of very many faults, which made 5.5 GB of messages of a file of 4 MB.
#[test]
fn the_text_of_faults_is_short_whatever_the_contract_says() {
    let field = format!("{{\"name\":\"{}\",\"side\":1,\"type\":2,\"meaning\":3,\"many\":4}}", "x".repeat(4_000));
    let faults = Contract::from_json(format!("{{\"field\":[{}]}}", vec![field; 128].join(",")).as_bytes()).unwrap_err();
    assert!(faults.0.len() > 20);
    let text = faults.to_string();
    assert!(text.lines().count() == 22 && text.ends_with(" more"), "{text}");
    assert!(text.len() < 16_384, "{} bytes", text.len());
}

#[test]
fn names_meanings_and_units_are_short_and_printable() {
    for (from, long, limit) in [
        ("lowest bid the media accepts", 1_024, "1024"),
        ("JPY per 1,000 impressions", 128, "128"),
        ("feed-ctr", 64, "64"),
    ] {
        let with = |text: &str| Contract::from_json(small_json().replace(from, text).as_bytes());
        assert!(with(&"x".repeat(long)).is_ok());
        let faults = with(&"x".repeat(long + 1)).unwrap_err().to_string();
        assert!(faults.contains(&format!("at most {limit} bytes of printable text")), "{faults}");
        for control in [r"a\u001b[31m", r"a\nb", "a\u{9b}b", "a\u{202e}b", "a\u{2028}b"] {
            let faults = with(control).unwrap_err().to_string();
            assert!(
                faults.contains("printable text") && !faults.contains(['\u{1b}', '\u{9b}', '\u{202e}']),
                "{faults}"
            );
        }
    }
}

/// From 1e16 on, the JSON library writes a plus sign that the format does not have, and other readers refused the file.
#[test]
fn large_floats_have_no_plus_sign() {
    let large = small_json().replace("100000.0]", "1.5e300]").replace("[10.0,50.0,100.0]", "[1e-7,1e16,2.5e16]");
    let contract = Contract::from_json(large.as_bytes()).unwrap();
    assert_eq!(contract.canonical_json(), large);
    assert!(contract.is_canonical_json(large.as_bytes()));
    assert!(!contract.is_canonical_json(large.replace("1e16", "1e+16").as_bytes()));
    assert!(!contract.is_canonical_json(format!("{large} ").as_bytes()));
    assert_eq!(contract.fingerprint(), xxhash_rust::xxh3::xxh3_64(large.as_bytes()));
}

#[test]
fn a_cross_has_a_side_and_a_name() {
    let contract = small();
    assert_eq!(contract.cross_name(&contract.crosses()[0]), "media_id*creative_id");
    assert_eq!(contract.cross_side(&contract.crosses()[0]), None);
    assert_eq!(contract.cross_side(&contract.crosses()[1]), Some(Side::Context));
}

#[test]
fn numbers_on_an_edge_fall_above_it_and_numbers_out_of_range_have_no_bucket() {
    let edges = Buckets::Edges(vec![10.0, 50.0]);
    let range = [0.0, 100.0];
    let indices = [0.0, 9.999, 10.0, 49.0, 50.0, 100.0].map(|number| edges.index(range, number));
    assert_eq!(indices, [Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)]);
    for number in [-0.1, 100.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(edges.index(range, number), None);
    }
    let log2 = [0.0, -0.0, 0.5, 1.0, 1.99, 2.0, 99.0].map(|number| Buckets::Log2.index(range, number));
    assert_eq!(log2, [Some(0), Some(0), Some(1022), Some(1023), Some(1023), Some(1024), Some(1029)]);
}
