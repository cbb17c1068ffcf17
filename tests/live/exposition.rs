//! A strict parser of the Prometheus text format 0.0.4. It fails on everything that it does not understand.

use std::collections::{BTreeMap, BTreeSet};
use std::str::Chars;

pub type LabelSet = BTreeMap<String, String>;

/// A parsed text.
pub struct Page {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, LabelSet, f64)>,
}

/// Parses `text`, and checks the rules of the format and the naming conventions.
pub fn read(text: &str) -> Page {
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let mut page = Page { kinds: BTreeMap::new(), samples: Vec::new() };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").expect(line).split_once(' ').expect(line);
        assert!(is_name(name) && help.ends_with('.') && !help.contains('\\'), "{line}");
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect(line);
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(page.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "a family has two headings: {name}");
        let before = page.samples.len();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, labels, value) = read_sample(line);
            let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{line} is under the heading {name}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line} is under the heading {name}");
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            assert!(!name.ends_with("_ratio") || (0.0..=1.0).contains(&value), "{line}");
            assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
            page.samples.push((sample, labels, value));
        }
        assert!(page.samples.len() > before, "a family without a series: {name}");
        if kind == "histogram" {
            check_histogram(name, &page.samples[before..]);
        }
    }
    let known: BTreeSet<_> = page.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(known.len(), page.samples.len(), "a series occurs twice");
    page
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    letters.next().is_some_and(is_letter) && letters.all(|letter| is_letter(letter) || letter.is_ascii_digit())
}

fn read_sample(line: &str) -> (String, LabelSet, f64) {
    let (name, rest) = line.split_once('{').expect(line);
    assert!(is_name(name), "{line}");
    let mut labels = LabelSet::new();
    let mut letters = rest.chars();
    loop {
        let label: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        assert!(is_name(&label), "{line}");
        assert_eq!(letters.next(), Some('"'), "{line}");
        assert!(labels.insert(label, read_value(&mut letters)).is_none(), "{line}");
        match letters.next() {
            Some(',') => {}
            Some('}') => break,
            other => panic!("{other:?} in {line}"),
        }
    }
    let number = letters.as_str().strip_prefix(' ').expect(line);
    assert!(!number.contains(' '), "{line}");
    (name.to_owned(), labels, number.parse().expect(line))
}

fn read_value(letters: &mut Chars<'_>) -> String {
    let mut value = String::new();
    loop {
        match letters.next().expect("a value without an end") {
            '"' => return value,
            '\\' => value.push(match letters.next() {
                Some('n') => '\n',
                Some(letter @ ('\\' | '"')) => letter,
                other => panic!("{other:?} after a backslash"),
            }),
            letter => value.push(letter),
        }
    }
}

/// For each live model, checks that cumulative buckets rise in the order of their bounds, up to the total count.
fn check_histogram(name: &str, samples: &[(String, LabelSet, f64)]) {
    let stores: BTreeSet<&String> = samples.iter().map(|(_, labels, _)| &labels["store"]).collect();
    for store in stores {
        let own = |suffix: &str| {
            let full = format!("{name}{suffix}");
            let own = samples.iter().filter(move |(name, labels, _)| *name == full && labels["store"] == *store);
            own.map(|(_, labels, value)| (labels, *value)).collect::<Vec<_>>()
        };
        let buckets = own("_bucket");
        let bounds: Vec<f64> = buckets.iter().map(|(labels, _)| labels["le"].parse().unwrap()).collect();
        assert!(bounds.is_sorted_by(|left, right| left < right));
        assert!(buckets.is_sorted_by(|(_, left), (_, right)| left <= right));
        assert_eq!(bounds.last(), Some(&f64::INFINITY));
        assert_eq!((own("_count").len(), own("_sum").len()), (1, 1));
        assert_eq!(own("_count")[0].1, buckets.last().unwrap().1);
    }
}

impl Page {
    /// Returns the value of the series of that name with all of `labels`, and no other labels except the models' own.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let own = |label: &str| ["store", "logic_id"].contains(&label);
        let fits = |known: &LabelSet| {
            labels.iter().all(|(label, value)| known.get(*label).is_some_and(|known| known == value))
                && known.keys().all(|label| own(label) || labels.iter().any(|(asked, _)| asked == label))
        };
        let mut found = self.samples.iter().filter(|(known, known_labels, _)| known == name && fits(known_labels));
        let value = found.next().map(|(_, _, value)| *value);
        assert!(found.next().is_none(), "{name} {labels:?} matches several series");
        value
    }

    pub fn families(&self) -> impl Iterator<Item = &String> {
        self.kinds.keys()
    }

    pub fn series(&self) -> impl Iterator<Item = &LabelSet> {
        self.samples.iter().map(|(_, labels, _)| labels)
    }

    pub fn bucket_count(&self, name: &str) -> usize {
        let name = format!("{name}_bucket");
        self.samples.iter().filter(|(known, ..)| *known == name).count()
    }
}

#[test]
#[should_panic(expected = "a series occurs twice")]
fn the_parser_rejects_a_duplicate_series() {
    read("# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n");
}

#[test]
#[should_panic(expected = "a family has two headings")]
fn the_parser_rejects_a_duplicate_heading() {
    read(&"# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\n".repeat(2));
}
