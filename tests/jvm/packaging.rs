//! Checks what the jars say a second time: the platforms of a release, and what native images must keep.

use std::collections::BTreeSet;
use std::path::Path;

fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The texts between `start` and the next `end`.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(move |rest| rest.split(end).next().unwrap())
}

#[test]
fn each_platform_that_the_loader_knows_has_a_thin_jar() {
    let platform = text("jvm-bindings/core/src/main/java/io/omomi/Platform.java");
    let list = between(&platform, "RELEASED = ", ";").next().unwrap();
    let known: BTreeSet<_> = list.split('"').skip(1).step_by(2).collect();
    let pom = text("jvm-bindings/core/pom.xml");
    for (start, end) in
        [("<id>thin-", "</id>"), ("<exists>${omomi.natives}/", "/libomomi"), ("<include>io/omomi/native/", "/*")]
    {
        assert_eq!(between(&pom, start, end).collect::<BTreeSet<_>>(), known, "{start}");
    }
}

/// A native image keeps only what its metadata names, and native code finds classes by their names.
#[test]
fn native_images_keep_each_java_class_that_native_code_looks_up() {
    let folder = "jvm-bindings/core/src/main/resources/META-INF/native-image/io.omomi/omomi";
    let metadata: serde_json::Value = serde_json::from_str(&text(&format!("{folder}/jni-config.json"))).unwrap();
    let kept: BTreeSet<_> =
        metadata.as_array().unwrap().iter().map(|class| class["name"].as_str().unwrap().replace('.', "/")).collect();
    let mut looked_up = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/jni")).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        looked_up.extend(between(&source, "find_class(jni_str!(\"", "\"").map(str::to_owned));
        for other in ["call_method", "call_static", "get_field", "get_static", "get_method_id"] {
            assert!(!source.contains(other), "the metadata must name what `{other}` looks up");
        }
    }
    assert_eq!(kept, looked_up);
    let constructor = &metadata[0]["methods"][0];
    assert_eq!(constructor["parameterTypes"], serde_json::json!(["int", "java.lang.String"]));
    assert!(text("src/jni/boundary.rs").contains("new_object(class, jni_sig!(\"(ILjava/lang/String;)V\")"));
}
