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
    assert!(faults.to_string().contains("expected at most 128 fields, found 200000"), "{faults}");
    let keys: Vec<String> = (0..200_000).map(|index| format!("\"k{index}\":0")).collect();
    let faults = Contract::from_json(format!("{{{}}}", keys.join(",")).as_bytes()).unwrap_err();
    assert_eq!(faults.0.len(), 200);
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
