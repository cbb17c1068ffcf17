//! Times in text are those of Python's `datetime`, on generated texts most of which are no times.
//!
//! `OMOMI_TIME_TEXTS=3000000 cargo test -p omomi-train --test log time_python` compares more of them, and
//! `OMOMI_TIME_SEED=17` others. The test needs a `python3` of version 3.11 or newer on the path.

use std::fs;
use std::process::Command;

use omomi_train::log::parse_time_us;
use rand::{RngExt, SeedableRng};

const TEXT_COUNT: usize = 30_000;

/// Prints the microseconds of each line, or `-` if it is no time. Python knows more notations, which come out as `-`:
/// weeks, commas, and times without minutes.
const READ: &str = r"
import re, sys
from datetime import datetime, timedelta, timezone
epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
out = []
for text in open(sys.argv[1], encoding='utf-8', newline='\n').read().split('\n')[:-1]:
    # Python knows neither a small z nor spaces before the offset.
    plain = text.removesuffix(' UTC')
    plain = re.sub('z$', 'Z', plain[:19] + re.sub(' +([+-])', r'\1', plain[19:]))
    # A leap second, which may be anywhere, is the second after the 59th.
    in_59 = re.sub('^(.{10}.[0-9]{2}:?[0-9]{2}:?)60', r'\g<1>59', plain)
    try:
        time = datetime.fromisoformat(in_59) + timedelta(seconds=in_59 != plain)
        if text.endswith(' UTC') and (time.tzinfo or len(plain) < 10): raise ValueError
        if time.tzinfo is None: time = time.replace(tzinfo=timezone.utc)
        out.append(str((time - epoch) // timedelta(microseconds=1)))
    except (ValueError, OverflowError):
        out.append('-')
print('\n'.join(out))
";

fn has_python() -> bool {
    let script = "import sys; sys.exit(sys.version_info < (3, 11))";
    let has_python = Command::new("python3").args(["-c", script]).output().is_ok_and(|output| output.status.success());
    if !has_python {
        eprintln!("skipped: there is no python3 of version 3.11 or newer, so times are not compared with Python's");
    }
    has_python
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A text that begins like a time. Every part may be wrong.
fn text(random: &mut impl rand::Rng) -> String {
    let mut pick = |texts: &[&'static str]| texts[random.random_range(0..texts.len())].to_owned();
    let year =
        pick(&["2019", "2020", "2000", "1999", "2024", "1969", "1678", "2261", "1677", "2262", "9999", "0001", "19"]);
    let month = pick(&["01", "02", "06", "11", "12", "00", "13", "2"]);
    let day = pick(&["01", "24", "28", "29", "30", "31", "00", "32", "7"]);
    let hour = pick(&["00", "09", "23", "24", "12", "1"]);
    let minute = pick(&["00", "59", "30", "60", "5"]);
    let second = pick(&["00", "17", "59", "60", "61", "5"]);
    let fraction = pick(&["", "", "", ".0", ".5", ".004101", ".999999999", ".0041019999", ".", ",5", ".12345678"]);
    let dash = pick(&["-", "-", "-", "-", "", "/"]);
    let between = pick(&["T", " ", "T", " ", "t", "_", ""]);
    let colon = pick(&[":", ":", ":", ":", ""]);
    let zone = pick(&[
        "",
        "",
        "Z",
        "z",
        "+00:00",
        "+09:00",
        "-08:30",
        "+0900",
        "+09",
        " UTC",
        " +09:00",
        "+24:00",
        "-00:00",
        "+9",
        "+09:00 UTC",
        "Z UTC",
        " GMT",
        "+05:45",
        "+14:00",
        "-12:00",
        "+23:59",
    ]);
    let date = format!("{year}{dash}{month}{dash}{day}");
    match random.random_range(0..12) {
        0 => date,
        1 => format!("{date}{zone}"),
        2 => format!("{date}{between}{hour}{colon}{minute}{zone}"),
        3 => format!("{date}{between}{hour}{zone}"),
        4 => {
            // One character of a good time is another one.
            let mut text: Vec<char> = format!("2019-11-24T00:00:17.004101{zone}").chars().collect();
            let place = random.random_range(0..text.len());
            text[place] = ['0', '9', '-', '+', ':', ' ', 'T', 'Z', '.', 'x', '\u{ff10}'][random.random_range(0..11)];
            text.into_iter().collect()
        }
        _ => format!("{date}{between}{hour}{colon}{minute}{colon}{second}{fraction}{zone}"),
    }
}

#[test]
fn times_in_text_are_those_of_python_and_what_python_refuses_is_refused() {
    if !has_python() {
        return;
    }
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(setting("OMOMI_TIME_SEED", 12));
    let mut left = usize::try_from(setting("OMOMI_TIME_TEXTS", TEXT_COUNT as u64)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("texts");
    let (mut accepted, mut refused, mut faults) = (0, 0, Vec::new());
    while left > 0 {
        let texts: Vec<String> = (0..left.min(100_000)).map(|_| text(&mut random)).collect();
        left -= texts.len();
        fs::write(&path, texts.iter().map(|text| format!("{text}\n")).collect::<String>()).unwrap();
        let output = Command::new("python3").args(["-c", READ]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines.len(), texts.len());
        for (text, line) in texts.iter().zip(lines) {
            // Digits alone are a number, which the options give a unit.
            if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                continue;
            }
            let expected: Option<i64> = line.parse().ok();
            let found = parse_time_us(text, None, true);
            *if found.is_some() { &mut accepted } else { &mut refused } += 1;
            let is_wrong = match found {
                Some(_) => found != expected,
                // Python reads more notations than these.
                None => expected.is_some() && is_rfc_3339(text) && ("1678".."2262").contains(&&text[..4]),
            };
            if is_wrong && faults.len() < 20 {
                faults.push((text.clone(), found, expected));
            }
        }
    }
    assert!(faults.is_empty(), "text, found, Python: {faults:#?}");
    assert!(accepted > 300 && refused > 300, "{accepted} accepted, {refused} refused");
}

/// Whether a text has the form of RFC 3339, with a space or a `T` in the middle and with or without an offset.
fn is_rfc_3339(text: &str) -> bool {
    let digits =
        |text: &str| text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect::<String>();
    let form = digits(text);
    let Some(rest) = form.strip_prefix("0000-00-00T00:00:00").or_else(|| form.strip_prefix("0000-00-00 00:00:00"))
    else {
        return false;
    };
    // A point without digits stays.
    let rest = rest.strip_prefix(".0").map_or(rest, |fraction| fraction.trim_start_matches('0'));
    matches!(rest, "" | "Z" | " UTC" | "+00:00" | "-00:00")
}
