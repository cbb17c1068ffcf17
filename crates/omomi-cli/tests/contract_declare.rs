//! Tests `omomi contract generate` and `omomi contract diff` as a user runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use omomi_train::log::generate::CONTRACT;

fn omomi(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omomi"));
    command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a contract, a weight file made by it, a contract that differs, and files that are neither.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let nfc = CONTRACT.replacen("type = \"text\"", "type = \"text\"\nnormalize = \"nfc\"", 1);
    fs::write(folder.path().join("contract.toml"), &nfc).unwrap();
    fs::write(folder.path().join("other.toml"), nfc.replace("range = [0.0, 2400.0]", "range = [0.0, 9600.0]")).unwrap();
    fs::write(folder.path().join("limits.toml"), nfc.replace("name = \"generated-ctr\"", "name = \"next\"")).unwrap();
    fs::write(folder.path().join("text.toml"), "this is no contract").unwrap();
    for command in [
        "generate-log --rows 2000 --click-rate 0.1 --out logs",
        "train --contract contract.toml --logs logs/*.parquet --time-column timestamp --state state.parquet",
        "pack --contract contract.toml --state state.parquet --held-out logs/part-000.parquet --logic-id x --generation 1 \
         --out 1.omomi",
    ] {
        let output = omomi(folder.path(), command);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    let mut damaged = fs::read(folder.path().join("1.omomi")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.path().join("damaged.omomi"), damaged).unwrap();
    folder
}

#[test]
fn a_declaration_is_the_same_from_a_contract_and_from_its_weight_file_and_others_are_refused() {
    let folder = folder();
    for (language, part) in [
        ("--scala", "val userId = context.id(\"user_id\")"),
        ("--java", "public static final Field CREATIVE_AGE = SCHEMA.field(\"creative_age\");"),
        ("--c", "omomi_many(omomi_text_field(omomi_text(\"interest\"), OMOMI_SIDE_CONTEXT)),"),
        ("--rust", "SchemaField::number(\"creative_age\", Side::Candidate, \"hours\", [0.0, 2400.0]),"),
    ] {
        let of = |file: &str| omomi(folder.path(), &format!("contract generate {language} {file}"));
        let made = of("contract.toml");
        assert!(made.status.success() && made.stderr.is_empty(), "{}", text(&made.stderr));
        assert!(text(&made.stdout).contains(part), "{}", text(&made.stdout));
        // What training normalizes is said by the weight file too.
        let said = text(&made.stdout).replace("\n * ", " ").replace("\n/// ", " ");
        assert!(said.contains("device takes texts in Unicode NFC"), "{said}");
        assert_eq!(text(&of("1.omomi").stdout), text(&made.stdout));
        for (file, problem) in [
            ("damaged.omomi", "what to do: "),
            ("text.toml", "not TOML"),
            ("absent.toml", "cannot be read"),
            ("logs", "cannot be read"),
        ] {
            let refused = of(file);
            assert_eq!(refused.status.code(), Some(1), "{file}");
            assert!(refused.stdout.is_empty() && text(&refused.stderr).contains(problem), "{}", text(&refused.stderr));
        }
    }
    for (arguments, problem) in [
        ("contract generate contract.toml", "--scala|--java|--c|--rust"),
        ("contract generate --scala --java contract.toml", "cannot be used with"),
        ("contract generate --c --package ads contract.toml", "cannot be used with"),
    ] {
        let misuse = omomi(folder.path(), arguments);
        assert_eq!(misuse.status.code(), Some(2), "{arguments}");
        assert!(text(&misuse.stderr).contains(problem), "{}", text(&misuse.stderr));
    }
    let refused = omomi(folder.path(), "contract generate --java --name class contract.toml");
    assert!(text(&refused.stderr).contains("the name `class` does not fit"), "{}", text(&refused.stderr));
}

#[test]
fn a_difference_says_what_the_server_must_change_and_exits_with_3() {
    let folder = folder();
    let equal = omomi(folder.path(), "contract diff contract.toml 1.omomi");
    assert_eq!(equal.status.code(), Some(0), "{}", text(&equal.stdout));
    assert!(text(&equal.stdout).ends_with("the contracts are equal\n"), "{}", text(&equal.stdout));

    let differs = omomi(folder.path(), "contract diff 1.omomi other.toml");
    assert_eq!(differs.status.code(), Some(3));
    let said = text(&differs.stdout);
    let row = said.split("the server must change\n").nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(row, "creative_age range: 0.0 to 2400.0 -> 0.0 to 9600.0");
    assert!(text(&differs.stderr).contains("after the server has changed"), "{}", text(&differs.stderr));

    let fits = omomi(folder.path(), "contract diff contract.toml limits.toml");
    assert_eq!(fits.status.code(), Some(3));
    assert!(text(&fits.stderr).contains("fits both"), "{}", text(&fits.stderr));

    let json = omomi(folder.path(), "contract diff --json contract.toml other.toml");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["equal"], false);
    assert_eq!(
        (&json["changes"][0]["server"], &json["changes"][0]["place"]),
        (&"change".into(), &"creative_age".into())
    );

    let broken = omomi(folder.path(), "contract diff contract.toml text.toml");
    assert_eq!(broken.status.code(), Some(1));
}

#[test]
fn inspect_shows_the_unit_and_the_range_that_a_declaration_needs() {
    let folder = folder();
    let said = text(&omomi(folder.path(), "inspect 1.omomi").stdout);
    assert!(said.contains("number in hours, 0.0 to 2400.0"), "{said}");
    assert!(said.contains("number in JPY per 1,000 impressions, 0.0 to 100000.0"), "{said}");
}
