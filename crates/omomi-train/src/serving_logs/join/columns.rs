//! The columns of the output beside the fields and the label.

use arrow_schema::{DataType, TimeUnit};

/// The type of a column of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::serving_logs) enum Form {
    Time,
    Text,
    Unsigned,
    Signed,
    Float,
    Double,
    Flag,
}

/// How many of the columns are known when a prediction is served. The others say what happened to it.
pub(in crate::serving_logs) const SERVED_COUNT: usize = 28;

/// The columns, in order.
pub(in crate::serving_logs) const COLUMNS: [(&str, Form); 42] = [
    ("timestamp", Form::Time),
    ("prediction_id", Form::Text),
    ("request_id", Form::Text),
    ("impression", Form::Text),
    ("logic_id", Form::Text),
    ("generation", Form::Unsigned),
    ("digest", Form::Text),
    ("contract_fingerprint", Form::Text),
    ("server", Form::Text),
    ("model", Form::Unsigned),
    ("experiment", Form::Text),
    ("arm", Form::Text),
    ("bucket", Form::Unsigned),
    ("candidate", Form::Unsigned),
    ("candidate_count", Form::Unsigned),
    ("position", Form::Unsigned),
    ("propensity", Form::Double),
    ("probability", Form::Float),
    ("logit", Form::Double),
    ("source", Form::Text),
    ("shadow", Form::Flag),
    ("clamped", Form::Flag),
    ("unseen_count", Form::Unsigned),
    ("missing_count", Form::Unsigned),
    ("latency_ns", Form::Unsigned),
    ("bid_micros", Form::Signed),
    ("bid_currency", Form::Text),
    ("bid_basis", Form::Text),
    ("won", Form::Flag),
    ("win_delay_ms", Form::Signed),
    ("win_price_micros", Form::Signed),
    ("currency", Form::Text),
    ("win_price_basis", Form::Text),
    ("shown", Form::Flag),
    ("click_delay_ms", Form::Signed),
    ("click_price_micros", Form::Signed),
    ("click_currency", Form::Text),
    ("converted", Form::Flag),
    ("conversion_delay_ms", Form::Signed),
    ("conversion_value_micros", Form::Signed),
    ("conversion_currency", Form::Text),
    ("late", Form::Flag),
];

impl Form {
    pub(in crate::serving_logs) fn data_type(self) -> DataType {
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Text => DataType::Utf8,
            Self::Unsigned => DataType::UInt64,
            Self::Signed => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Flag => DataType::Boolean,
        }
    }
}
