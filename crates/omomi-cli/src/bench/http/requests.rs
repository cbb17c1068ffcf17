//! Bid requests of OpenRTB 2.6 with the contexts of logged impressions.

use omomi::contract::{Contract, Side};
use omomi::request::{FieldValue, Row};
use omomi_train::log::generate::{CONTRACT, LogSpec, write_parquet};
use omomi_train::log::{LogReader, ReadOptions};
use omomi_train::toml::parse_contract;
use serde_json::{Value, json};

use crate::Failure;

/// Different requests, which are sent in turns, each time with another id.
pub(super) struct Requests {
    templates: Vec<Template>,
    /// Begins every id, so that two runs have different ones.
    run: u64,
}

struct Template {
    exchange: Option<String>,
    /// The request behind its id, from the comma on.
    rest: String,
}

impl Requests {
    /// Requests of a log that is made up as by `omomi generate-log`, so that they have its distributions.
    pub(super) fn generated(count: usize, seed: u64) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log.parquet");
        write_parquet(&LogSpec { rows: count as u64, seed, click_rate: 0.1 }, &path)?;
        Self::of_logs(&[path.display().to_string()], count, seed)
    }

    /// Requests of the first `count` rows of logs of `omomi generate-log`.
    pub(super) fn of_logs(logs: &[String], count: usize, seed: u64) -> Result<Self, Failure> {
        let contract = parse_contract(CONTRACT)?;
        let mut reader = LogReader::open(&contract, logs, ReadOptions::default().with(|it| it.unweighted = true))?;
        let mut templates = Vec::new();
        while templates.len() < count
            && let Some(batch) = reader.next_batch()?
        {
            let rows = batch.row_count().min(count - templates.len());
            templates.extend((0..rows).map(|row| {
                Template::new(&batch.row(&contract, Side::Context, row), format_of(&contract, &batch, row))
            }));
        }
        if templates.is_empty() {
            return Err("the logs have no rows; give --logs of omomi generate-log".into());
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Self { templates, run: u64::try_from(now.as_millis()).unwrap_or(0) ^ seed })
    }

    /// Returns the exchange and the body of request `number`.
    pub(super) fn at(&self, number: u64) -> (Option<&str>, String) {
        let index = usize::try_from(number).unwrap_or(0) % self.templates.len();
        let Template { exchange, rest } = &self.templates[index];
        (exchange.as_deref(), format!("{{\"id\":\"{:x}-{number:x}\"{rest}", self.run))
    }
}

fn format_of(contract: &Contract, batch: &omomi_train::log::RowBatch, row: usize) -> String {
    text(&batch.row(contract, Side::Candidate, row), "format").unwrap_or_default()
}

impl Template {
    /// The place of an impression is the one in which the logged creative was shown.
    fn new(context: &Row, format: String) -> Self {
        let size = text(context, "size").unwrap_or_default();
        let (width, height) = size.split_once('x').unwrap_or(("300", "250"));
        let size = json!({ "w": width.parse().unwrap_or(300), "h": height.parse().unwrap_or(250) });
        let mut imp = json!({ "id": "1", "tagid": text(context, "slot") });
        match format.as_str() {
            "video" => imp["video"] = size,
            "native" | "carousel" | "text" => imp["native"] = json!({ "ver": "1.2" }),
            _ => imp["banner"] = json!({ "format": [size] }),
        }
        if let Some(FieldValue::Number(floor)) = context.get("floor_price") {
            imp["bidfloor"] = json!(floor);
            imp["bidfloorcur"] = json!("JPY");
        }
        let mut device = json!({ "devicetype": text(context, "device").and_then(|device| device_type(&device)) });
        device["os"] = json!(text(context, "os"));
        if let Some(number) = text(context, "region").and_then(|region| region_number(&region)) {
            device["geo"] = json!({ "country": "JPN", "region": format!("{number:02}") });
        }
        let mut user = json!({});
        if let Some(FieldValue::Id(id)) = context.get("user_id") {
            user["id"] = json!(id.to_string());
        }
        if let Some(FieldValue::Texts(interests)) = context.get("interest") {
            user["kwarray"] = json!(interests);
        }
        if let Some(segment) = text(context, "segment") {
            user["data"] = json!([{ "id": "dmp", "segment": [{ "name": segment }] }]);
        }
        let mut body = json!({ "tmax": 120, "cur": ["JPY"], "imp": [imp], "device": device, "user": user });
        if let Some(FieldValue::Id(site)) = context.get("site_id") {
            body["site"] = json!({ "id": site.to_string() });
        }
        let body = without_nulls(body).to_string();
        // What is unknown is left out; the id comes first.
        Self { exchange: text(context, "exchange"), rest: format!(",{}", &body[1..]) }
    }
}

fn text(row: &Row, field: &str) -> Option<String> {
    match row.get(field) {
        Some(FieldValue::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Removes members that are null, at every level.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, it)| (name, without_nulls(it)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The number of a kind of device in the list of AdCOM 1.0.
fn device_type(device: &str) -> Option<u8> {
    Some(match device {
        "smartphone" => 4,
        "pc" => 2,
        "tv" => 3,
        "tablet" => 5,
        "game console" => 6,
        _ => return None,
    })
}

/// The number of a prefecture in JIS X 0401 and ISO 3166-2:JP.
fn region_number(region: &str) -> Option<usize> {
    PREFECTURES.split_whitespace().position(|name| name == region).map(|index| index + 1)
}

const PREFECTURES: &str = "北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 東京都 神奈川県 新潟県 富山県 \
    石川県 福井県 山梨県 長野県 岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県 和歌山県 鳥取県 島根県 岡山県 広島県 山口県 \
    徳島県 香川県 愛媛県 高知県 福岡県 佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県";
