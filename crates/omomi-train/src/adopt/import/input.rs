//! The weights as they come: a file or standard input, compressed or not, and how its format is told.

use crate::bucket::LocalCopy;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use omomi::printable::quoted;

use super::rows;

/// Bytes of the input by which its format is told.
const START_LEN: u64 = 1 << 16;

/// How weights are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsFormat {
    /// CSV or TSV with a header: the columns `field`, `category` and `weight`, and perhaps `impressions` and `clicks`.
    Csv,
    /// JSON lines with these keys.
    JsonLines,
    /// Parquet with these columns.
    Parquet,
    /// Lines of `field=category`, a tab and the weight, as servers load them into a map.
    Map,
    /// What `vw --invert_hash` writes.
    VowpalWabbit,
}

impl WeightsFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Csv, Self::JsonLines, Self::Parquet, Self::Map, Self::VowpalWabbit];

    /// Returns the name: `csv`, `jsonl`, `parquet`, `map` or `vw`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Map => "map",
            Self::VowpalWabbit => "vw",
        }
    }
}

impl WeightsFormat {
    pub(super) const fn unit(self) -> &'static str {
        if matches!(self, Self::Parquet) { "row" } else { "line" }
    }
}

/// The weights, opened.
pub(super) struct Input {
    /// The first bytes of the text.
    start: Vec<u8>,
    pub(super) text: Box<dyn BufRead>,
    /// The file, if it is one and not compressed.
    pub(super) file: Option<File>,
    is_tsv: bool,
}

impl Input {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let is_tsv = path.to_string_lossy().contains(".tsv");
        if path == Path::new("-") {
            return Self::of_text(Box::new(BufReader::new(io::stdin())), None, is_tsv);
        }
        // A copy of an object has no name any more once it is open.
        let local = LocalCopy::of(path).map_err(io::Error::other)?;
        let path = local.path();
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "expected a file, found a folder"));
        }
        let mut mark = Vec::new();
        if metadata.is_file() {
            Read::by_ref(&mut file).take(4).read_to_end(&mut mark)?;
            file.rewind()?;
        }
        match &mark[..] {
            [0x1f, 0x8b, ..] => {
                let text = BufReader::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)));
                Self::of_text(Box::new(text), None, is_tsv)
            }
            [0x28, 0xb5, 0x2f, 0xfd] => {
                let text = BufReader::new(zstd::Decoder::new(file)?);
                Self::of_text(Box::new(text), None, is_tsv)
            }
            _ => {
                // A second description, because the first one moves with the text.
                let own = metadata.is_file().then(|| File::open(path)).transpose()?;
                Self::of_text(Box::new(BufReader::with_capacity(1 << 18, file)), own, is_tsv)
            }
        }
    }

    fn of_text(mut text: Box<dyn BufRead>, file: Option<File>, is_tsv: bool) -> io::Result<Self> {
        let mut start = Vec::new();
        Read::by_ref(&mut text).take(START_LEN).read_to_end(&mut start)?;
        Ok(Self { text: Box::new(Cursor::new(start.clone()).chain(text)), start, file, is_tsv })
    }

    fn first_line(&self) -> String {
        let start = self.start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.start);
        let lines = start.split(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line.trim_ascii_end()));
        let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.next().map_or_else(String::new, |line| line.into_owned())
    }

    /// The character between cells: a tab if the header has one, or if the name of the file says so.
    pub(super) fn delimiter(&self) -> char {
        if self.is_tsv || self.first_line().contains('\t') { '\t' } else { ',' }
    }
}

/// Tells the format by the first bytes, or says what was expected.
pub(super) fn tell(input: &Input) -> Result<WeightsFormat, String> {
    if input.start.starts_with(b"PAR1") {
        return Ok(WeightsFormat::Parquet);
    }
    let line = input.first_line();
    if line.starts_with('{') {
        return Ok(WeightsFormat::JsonLines);
    }
    if line.starts_with("Version ") {
        return Ok(WeightsFormat::VowpalWabbit);
    }
    let columns: Vec<&str> = line.split([',', '\t']).map(|column| column.trim_matches('"')).collect();
    if ["field", "category", "weight"].iter().all(|name| columns.contains(name)) {
        return Ok(WeightsFormat::Csv);
    }
    if line.rsplit_once('\t').is_some_and(|(key, _)| key.contains('=') || rows::is_bias(key)) {
        return Ok(WeightsFormat::Map);
    }
    Err(format!(
        "expected a table with the columns field, category and weight, lines of `field=category<TAB>weight`, or a \
         model of `vw --invert_hash`; found `{}`; name it with --format",
        quoted(&line)
    ))
}
