//! Validates every form of a contract by the same rules. It walks a JSON value, to which TOML and JSON are both
//! converted, and records each fault with its path. The parser of each form knows which line a path is on.

use serde_json::{Map, Value};

use super::reading::{FieldReading, ListForm, NumberFormat, Reading, TimeUnit};
use super::{
    Buckets, CategoryLimit, Contract, Cross, Fault, Field, FieldKind, LogPolicy, MAX_BUCKET_EDGES, MAX_CROSS_MEMBERS,
    MAX_CROSSES, MAX_FIELDS_PER_SIDE, MAX_MEANING_LEN_BYTES, MAX_NAME_LEN_BYTES, MAX_UNIT_LEN_BYTES, OverLimit, Side,
    UnseenWeight,
};
use crate::printable::{is_control, printable};

/// Keys and positions from the root to a value, such as `["field", "3", "unit"]`.
pub type Path = Vec<String>;

/// Finds the line of a path, for the form of the contract that was read.
pub(super) type LineOf<'a> = &'a dyn Fn(&Path) -> Option<usize>;

type Object = Map<String, Value>;

const CONTRACT_KEYS: &[&str] = &["name", "label", "reading", "field", "cross"];
const FIELD_KEYS: &[&str] = &[
    "name",
    "side",
    "type",
    "many",
    "meaning",
    "log",
    "max_categories",
    "over_max",
    "unseen",
    "column",
    "normalize",
    "missing",
    "may_be_empty",
];
const READING_KEYS: &[&str] =
    &["label_column", "clicked", "not_clicked", "time_unit", "missing", "number_format", "lists"];
const NUMBER_KEYS: &[&str] = &["unit", "range", "buckets"];
const CROSS_KEYS: &[&str] = &["fields", "max_categories", "over_max"];

/// Longest name of a log column, in bytes: enough for a path into nested records.
const MAX_COLUMN_LEN_BYTES: usize = 256;
/// Most texts in one list of `[reading]`, and the longest one in bytes.
const MAX_READING_TEXTS: usize = 64;
const MAX_READING_TEXT_LEN_BYTES: usize = 256;

/// If the list of fields is longer than this, its length is the only fault that is reported.
const MAX_FIELDS_LOOKED_AT: usize = 1_024;
/// Largest number of faults that are recorded: people do not read more, and hostile bytes may hold millions.
const MAX_FAULTS: usize = 200;
/// Longest place and longest message of a fault, in bytes. They may quote what was found.
const MAX_PLACE_LEN_BYTES: usize = 128;
const MAX_MESSAGE_LEN_BYTES: usize = 1_024;

pub fn validate(root: &Value, line_of: LineOf<'_>) -> Result<Contract, Vec<Fault>> {
    let mut checker = Checker { faults: Vec::new(), line_of };
    let contract = checker.contract(root);
    match contract {
        Some(contract) if checker.faults.is_empty() => Ok(contract),
        _ => {
            checker.faults.sort_by_key(|fault| fault.line);
            Err(checker.faults)
        }
    }
}

struct Checker<'a> {
    faults: Vec<Fault>,
    line_of: LineOf<'a>,
}

/// A place in the contract: its path, to find the line, and its name, for people.
#[derive(Clone)]
struct Place {
    path: Path,
    words: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Self { path, words: self.words.clone() }
    }
}

impl Checker<'_> {
    fn fault(&mut self, place: &Place, message: impl Into<String>) {
        if self.faults.len() == MAX_FAULTS {
            return;
        }
        // An absent value has no line of its own: use the line of its nearest ancestor that has one.
        let mut path = place.path.clone();
        let mut line = (self.line_of)(&path);
        while line.is_none() && path.pop().is_some() {
            line = (self.line_of)(&path);
        }
        let words = printable(&place.words, MAX_PLACE_LEN_BYTES);
        let message = printable(&message.into(), MAX_MESSAGE_LEN_BYTES);
        self.faults.push(Fault { line, place: words, message });
    }

    fn contract(&mut self, root: &Value) -> Option<Contract> {
        let place = Place { path: Vec::new(), words: "contract".to_owned() };
        let Some(object) = root.as_object() else {
            self.fault(&place, format!("expected a table, found {}", kind_of(root)));
            return None;
        };
        self.unknown_keys(object, &place, CONTRACT_KEYS, &[]);
        let name = self.contract_name(object, &place);
        let label = self.identifier(object, &place, "label");
        let (fields, field_readings): (Vec<_>, Vec<_>) = self.fields(object, &place).into_iter().unzip();
        let reading = self.reading(object, &place);
        let crosses = self.crosses(object, &place, &fields);
        if let Some(label) = &label
            && fields.iter().flatten().any(|field| field.name == *label)
        {
            self.fault(&place.key("label"), format!("the label `{label}` is also the name of a field"));
        }
        let contract = Contract {
            name: name?,
            label: label?,
            fields: fields.into_iter().collect::<Option<_>>()?,
            crosses: crosses.into_iter().collect::<Option<_>>()?,
            reading: Reading { fields: field_readings.into_iter().collect::<Option<_>>()?, ..reading? },
        };
        for index in 0..contract.fields.len() {
            if contract.field_column(index) == contract.label_column() {
                let message = format!("the column `{}` is also the column of the label", contract.label_column());
                self.fault(&place.key("field").key(&index.to_string()).key("column"), message);
            }
        }
        Some(contract)
    }

    /// Reads the table `[reading]`: how logs are read.
    fn reading(&mut self, object: &Object, place: &Place) -> Option<Reading> {
        let Some(value) = object.get("reading") else { return Some(Reading::default()) };
        let place = Place { words: "reading".to_owned(), ..place.key("reading") };
        let Some(object) = value.as_object() else {
            self.fault(&place, format!("expected a table, found {}", kind_of(value)));
            return None;
        };
        self.unknown_keys(object, &place, READING_KEYS, &[]);
        let label_column = self.column(object, &place, "label_column");
        let clicked = self.texts(object, &place, "clicked");
        let not_clicked = self.texts(object, &place, "not_clicked");
        let missing = self.texts(object, &place, "missing");
        let time_unit = self.optional_word(object, &place, "time_unit", &TimeUnit::WORDS);
        let number_format = self.optional_word(object, &place, "number_format", &NumberFormat::WORDS);
        let lists = self.optional_word(object, &place, "lists", &ListForm::WORDS);
        let (clicked, not_clicked) = (clicked?.unwrap_or_default(), not_clicked?.unwrap_or_default());
        if let Some(both) = clicked.iter().find(|text| not_clicked.contains(text)) {
            self.fault(&place.key("not_clicked"), format!("{both:?} is also in `clicked`"));
        }
        Some(Reading {
            label_column: label_column?,
            clicked,
            not_clicked,
            time_unit: time_unit?.and_then(TimeUnit::of_word),
            missing: missing?,
            number_format: number_format?.and_then(NumberFormat::of_word).unwrap_or_default(),
            lists: lists?.and_then(ListForm::of_word),
            fields: Vec::new(),
        })
    }

    /// Reads the keys of a field that say how its column is read.
    fn field_reading(&mut self, object: &Object, place: &Place, kind: Option<&str>) -> Option<FieldReading> {
        let column = self.column(object, place, "column");
        let missing = self.texts(object, place, "missing");
        let normalize = self.optional_word(object, place, "normalize", &["nfc"]);
        if normalize == Some(Some("nfc")) && matches!(kind, Some("id" | "number")) {
            self.fault(&place.key("normalize"), "`normalize` is only for text");
        }
        let may_be_empty = match object.get("may_be_empty") {
            None => Some(false),
            Some(Value::Bool(may_be_empty)) => Some(*may_be_empty),
            Some(other) => {
                let message = format!("`may_be_empty` must be true or false, found {}", kind_of(other));
                self.fault(&place.key("may_be_empty"), message);
                None
            }
        };
        Some(FieldReading {
            column: column?,
            nfc: normalize?.is_some(),
            missing: missing?,
            may_be_empty: may_be_empty?,
        })
    }

    /// Reads an optional name of a log column. The outer option is empty if it is faulty.
    #[expect(clippy::option_option, reason = "faulty, absent and present are three different things")]
    fn column(&mut self, object: &Object, place: &Place, key: &str) -> Option<Option<String>> {
        if !object.contains_key(key) {
            return Some(None);
        }
        self.short_text(object, place, key, MAX_COLUMN_LEN_BYTES).map(Some)
    }

    /// Reads an optional list of texts. The outer option is empty if it is faulty.
    #[expect(clippy::option_option, reason = "faulty, absent and present are three different things")]
    fn texts(&mut self, object: &Object, place: &Place, key: &str) -> Option<Option<Vec<String>>> {
        let Some(value) = object.get(key) else { return Some(None) };
        let texts: Option<Vec<String>> = value
            .as_array()
            .filter(|list| list.len() <= MAX_READING_TEXTS)
            .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        let texts = texts.filter(|texts| texts.iter().all(|text| text.len() <= MAX_READING_TEXT_LEN_BYTES));
        if texts.is_none() {
            let message = format!(
                "`{key}` must be a list of at most {MAX_READING_TEXTS} texts of at most {MAX_READING_TEXT_LEN_BYTES} \
                 bytes, found {}",
                kind_of(value)
            );
            self.fault(&place.key(key), message);
        }
        texts.map(Some)
    }

    /// Reads an optional word. The outer option is empty if it is faulty.
    #[expect(clippy::option_option, reason = "faulty, absent and present are three different things")]
    fn optional_word(
        &mut self,
        object: &Object,
        place: &Place,
        key: &str,
        words: &[&'static str],
    ) -> Option<Option<&'static str>> {
        if object.contains_key(key) { self.word(object, place, key, words).map(Some) } else { Some(None) }
    }

    /// Reads the fields. Each comes with how its column is read.
    fn fields(&mut self, object: &Object, place: &Place) -> Vec<(Option<Field>, Option<FieldReading>)> {
        let place = place.key("field");
        let Some(list) = object.get("field").and_then(Value::as_array) else {
            self.fault(&place, "expected at least one [[field]], found none");
            return Vec::new();
        };
        if list.is_empty() {
            self.fault(&place, "expected at least one [[field]], found none");
        }
        // Each field is compared with those before it, and hostile bytes may hold a million fields.
        if list.len() > MAX_FIELDS_LOOKED_AT {
            let message = format!("expected at most {} fields, found {}", 2 * MAX_FIELDS_PER_SIDE, list.len());
            self.fault(&place, message);
            return Vec::new();
        }
        let mut fields: Vec<(Option<Field>, Option<FieldReading>)> = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let name = value.get("name").and_then(Value::as_str);
            let words = match name {
                Some(name) => format!("field {} ({})", index + 1, printable(name, MAX_NAME_LEN_BYTES)),
                None => format!("field {}", index + 1),
            };
            let place = Place { words, ..place.key(&index.to_string()) };
            if let Some(name) = name
                && let Some(first) =
                    list[..index].iter().position(|value| value.get("name").and_then(Value::as_str) == Some(name))
            {
                self.fault(&place.key("name"), format!("the name is already taken by field {}", first + 1));
            }
            let kind = value.get("type").and_then(Value::as_str);
            let reading = value.as_object().map(|object| self.field_reading(object, &place, kind));
            let field = self.field(value, &place);
            if let Some(field) = &field {
                let earlier = fields.iter().filter_map(|(other, _)| other.as_ref());
                let earlier = earlier.filter(|other| other.side == field.side).count();
                if earlier == MAX_FIELDS_PER_SIDE {
                    let side = field.side.word();
                    self.fault(&place, format!("expected at most {MAX_FIELDS_PER_SIDE} {side} fields, found more"));
                }
            }
            fields.push((field, reading.flatten()));
        }
        fields
    }

    fn field(&mut self, value: &Value, place: &Place) -> Option<Field> {
        let Some(object) = value.as_object() else {
            self.fault(place, format!("expected a table, found {}", kind_of(value)));
            return None;
        };
        let name = self.identifier(object, place, "name");
        let side = self.word(object, place, "side", &["context", "candidate"]);
        let kind = self.word(object, place, "type", &["id", "text", "number"]);
        let meaning = self.short_text(object, place, "meaning", MAX_MEANING_LEN_BYTES);
        let log = match object.get("log") {
            None => Some("plain"),
            Some(_) => self.word(object, place, "log", &["plain", "hashed", "never"]),
        };
        let many = match object.get("many") {
            None => Some(false),
            Some(Value::Bool(many)) => Some(*many),
            Some(other) => {
                self.fault(&place.key("many"), format!("`many` must be true or false, found {}", kind_of(other)));
                None
            }
        };
        let category_limit = self.category_limit(object, place);
        let unseen = match object.get("unseen") {
            None => Some("learned"),
            Some(_) => self.word(object, place, "unseen", &["learned", "zero"]),
        };
        // If the type cannot be read, the keys of numbers are accepted: they are not at fault.
        let number_keys = if matches!(kind, Some("id" | "text")) { &[][..] } else { NUMBER_KEYS };
        self.unknown_keys(object, place, FIELD_KEYS, number_keys);
        let kind = match kind? {
            "id" => Some(FieldKind::Id),
            "text" => Some(FieldKind::Text),
            _ => {
                if many == Some(true) {
                    self.fault(&place.key("many"), "a number field has one value: `many` is only for id or text");
                }
                self.number(object, place)
            }
        };
        Some(Field {
            name: name?,
            side: if side? == "context" { Side::Context } else { Side::Candidate },
            kind: kind?,
            many: many?,
            meaning: meaning?,
            log: match log? {
                "plain" => LogPolicy::Plain,
                "hashed" => LogPolicy::Hashed,
                _ => LogPolicy::Never,
            },
            category_limit: category_limit?,
            unseen: if unseen? == "learned" { UnseenWeight::Learned } else { UnseenWeight::Zero },
        })
    }

    /// Reads `max_categories` and `over_max`. The inner option is empty if the contract has neither; the outer one is
    /// empty if they are faulty.
    #[expect(clippy::option_option, reason = "faulty, absent and present are three different things")]
    fn category_limit(&mut self, object: &Object, place: &Place) -> Option<Option<CategoryLimit>> {
        let over = match object.get("over_max") {
            None => Some("error"),
            Some(_) if !object.contains_key("max_categories") => {
                self.fault(&place.key("over_max"), "`over_max` needs `max_categories`, which is missing");
                return None;
            }
            Some(_) => self.word(object, place, "over_max", &["error", "drop"]),
        };
        let Some(value) = object.get("max_categories") else { return Some(None) };
        let max = value.as_u64().filter(|&max| max > 0);
        if max.is_none() {
            let message = format!("`max_categories` must be a whole number of at least 1, found {value}");
            self.fault(&place.key("max_categories"), message);
        }
        let over = if over? == "error" { OverLimit::Error } else { OverLimit::Drop };
        Some(Some(CategoryLimit { max: max?, over }))
    }

    fn number(&mut self, object: &Object, place: &Place) -> Option<FieldKind> {
        let unit = self.short_text(object, place, "unit", MAX_UNIT_LEN_BYTES);
        let range = self.range(object, place);
        let buckets = self.buckets(object, place, range);
        Some(FieldKind::Number { unit: unit?, range: range?, buckets: buckets? })
    }

    fn range(&mut self, object: &Object, place: &Place) -> Option<[f64; 2]> {
        let place = place.key("range");
        let Some(value) = object.get("range") else {
            self.fault(&place, "a number needs a `range`: [min, max]");
            return None;
        };
        let bounds: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        match bounds.as_deref() {
            Some(&[min, max]) if min < max && min.is_finite() && max.is_finite() => Some([min, max]),
            _ => {
                self.fault(&place, format!("`range` must be two numbers, the smaller first, found {value}"));
                None
            }
        }
    }

    fn buckets(&mut self, object: &Object, place: &Place, range: Option<[f64; 2]>) -> Option<Buckets> {
        let place = place.key("buckets");
        let Some(value) = object.get("buckets") else {
            self.fault(&place, "a number needs `buckets`: a list of edges, or { log2 = true }");
            return None;
        };
        if let Some(table) = value.as_object() {
            if table.contains_key("quantiles") {
                let problem = "the edges of the quantiles are not computed yet: run `omomi contract quantiles`";
                self.fault(&place, problem);
                return None;
            }
            if table.len() != 1 || table.get("log2") != Some(&Value::Bool(true)) {
                self.fault(&place, format!("`buckets` must be a list of edges or {{ log2 = true }}, found {value}"));
                return None;
            }
            if range.is_some_and(|[min, _]| min < 0.0) {
                self.fault(&place, "log2 buckets need a `range` that starts at 0 or above");
                return None;
            }
            return Some(Buckets::Log2);
        }
        let edges: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        let Some(edges) = edges else {
            self.fault(&place, format!("`buckets` must be a list of edges or {{ log2 = true }}, found {value}"));
            return None;
        };
        if edges.is_empty() || edges.len() > MAX_BUCKET_EDGES {
            self.fault(&place, format!("expected 1 to {MAX_BUCKET_EDGES} bucket edges, found {}", edges.len()));
            return None;
        }
        if let Some(pair) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
            self.fault(&place, format!("bucket edges must ascend: {:?} comes before {:?}", pair[0], pair[1]));
            return None;
        }
        if let Some([min, max]) = range
            && let Some(edge) = edges.iter().find(|&&edge| edge <= min || edge > max)
        {
            self.fault(&place, format!("the bucket edge {edge:?} is outside the range {min:?} to {max:?}"));
            return None;
        }
        Some(Buckets::Edges(edges))
    }

    fn crosses(&mut self, object: &Object, place: &Place, fields: &[Option<Field>]) -> Vec<Option<Cross>> {
        let place = place.key("cross");
        let list = match object.get("cross") {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.fault(&place, format!("expected a list of [[cross]], found {}", kind_of(other)));
                return Vec::new();
            }
        };
        if list.len() > MAX_CROSSES {
            self.fault(&place, format!("expected at most {MAX_CROSSES} crosses, found {}", list.len()));
            return Vec::new();
        }
        let mut crosses: Vec<Option<Cross>> = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let place = Place { words: format!("cross {}", index + 1), ..place.key(&index.to_string()) };
            let cross = self.cross(value, &place, fields);
            if let Some(cross) = &cross
                && let Some(first) =
                    crosses.iter().position(|other| other.as_ref().is_some_and(|other| same_members(other, cross)))
            {
                self.fault(&place, format!("cross {} already has the same fields", first + 1));
            }
            crosses.push(cross);
        }
        crosses
    }

    fn cross(&mut self, value: &Value, place: &Place, fields: &[Option<Field>]) -> Option<Cross> {
        let Some(object) = value.as_object() else {
            self.fault(place, format!("expected a table, found {}", kind_of(value)));
            return None;
        };
        self.unknown_keys(object, place, CROSS_KEYS, &[]);
        let category_limit = self.category_limit(object, place);
        let place = place.key("fields");
        let names: Option<Vec<&str>> =
            object.get("fields").and_then(Value::as_array).and_then(|list| list.iter().map(Value::as_str).collect());
        let Some(names) = names else {
            self.fault(&place, "a cross needs `fields`: a list of field names");
            return None;
        };
        if names.len() < 2 || names.len() > MAX_CROSS_MEMBERS {
            self.fault(&place, format!("a cross has 2 to {MAX_CROSS_MEMBERS} fields, found {}", names.len()));
            return None;
        }
        let mut members = Vec::new();
        let mut many: Vec<&str> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                self.fault(&place, format!("the field `{name}` is crossed with itself"));
                return None;
            }
            let position = fields.iter().position(|field| field.as_ref().is_some_and(|field| field.name == **name));
            match position {
                Some(position) => {
                    members.push(position);
                    if fields[position].as_ref().is_some_and(|field| field.many) {
                        many.push(name);
                    }
                }
                // A field with faults of its own is not unknown; its faults are enough.
                None if fields.iter().any(Option::is_none) => return None,
                None => {
                    self.fault(&place, format!("the contract has no field `{name}` to cross"));
                    return None;
                }
            }
        }
        if many.len() > 1 {
            self.fault(&place, format!("a cross may have at most one `many` field, found {}", many.join(", ")));
            return None;
        }
        Some(Cross { members, category_limit: category_limit? })
    }

    fn unknown_keys(&mut self, object: &Object, place: &Place, known: &[&str], also_known: &[&str]) {
        for key in object.keys() {
            if known.contains(&key.as_str()) || also_known.contains(&key.as_str()) {
                continue;
            }
            let message = if NUMBER_KEYS.contains(&key.as_str()) {
                format!("`{key}` belongs to fields of type number only")
            } else {
                format!("unknown key `{key}`; known here: {}", [known, also_known].concat().join(", "))
            };
            self.fault(&place.key(key), message);
        }
    }

    fn text(&mut self, object: &Object, place: &Place, key: &str) -> Option<String> {
        match object.get(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(Value::String(_)) => {
                self.fault(&place.key(key), format!("`{key}` is empty"));
                None
            }
            Some(other) => {
                self.fault(&place.key(key), format!("`{key}` must be text, found {}", kind_of(other)));
                None
            }
            None => {
                self.fault(&place.key(key), format!("`{key}` is missing"));
                None
            }
        }
    }

    /// A name for people: any printable text up to [`MAX_NAME_LEN_BYTES`].
    fn contract_name(&mut self, object: &Object, place: &Place) -> Option<String> {
        self.short_text(object, place, "name", MAX_NAME_LEN_BYTES)
    }

    /// Reads a printable text of at most `max` bytes, which people read in terminals, labels and reports.
    fn short_text(&mut self, object: &Object, place: &Place, key: &str, max: usize) -> Option<String> {
        let text = self.text(object, place, key)?;
        if text.len() > max || text.chars().any(is_control) {
            let found = if text.len() > max { format!("{} bytes", text.len()) } else { format!("{text:?}") };
            let message = format!("`{key}` must be at most {max} bytes of printable text on one line, found {found}");
            self.fault(&place.key(key), message);
            return None;
        }
        Some(text)
    }

    /// A name that is used in columns, headers and code.
    fn identifier(&mut self, object: &Object, place: &Place, key: &str) -> Option<String> {
        let name = self.text(object, place, key)?;
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let goes_on_well = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !starts_well || !goes_on_well || name.len() > MAX_NAME_LEN_BYTES {
            let message = format!(
                "`{key}` must be at most {MAX_NAME_LEN_BYTES} letters, digits and underscores, not starting with a digit, found `{}`",
                printable(&name, 2 * MAX_NAME_LEN_BYTES)
            );
            self.fault(&place.key(key), message);
            return None;
        }
        Some(name)
    }

    fn word(&mut self, object: &Object, place: &Place, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(object, place, key)?;
        let known = words.iter().find(|word| **word == text);
        if known.is_none() {
            self.fault(&place.key(key), format!("`{key}` must be one of {}, found `{text}`", words.join(", ")));
        }
        known.copied()
    }
}

fn same_members(one: &Cross, other: &Cross) -> bool {
    one.members.len() == other.members.len() && one.members.iter().all(|member| other.members.contains(member))
}

pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
