//! Sorts the weights of an import by feature key, in bounded memory: what does not fit goes to a file, in parts by the
//! first byte of the key. Keys are hashes, so the parts are about equally long.

use crate::bucket::beside;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Most bytes of weights in memory before they go to the file.
const MAX_HELD_LEN_BYTES: usize = 48 << 20;
const PART_COUNT: usize = 256;
/// Bytes of a part that are written together.
const BLOCK_LEN: usize = 1 << 16;
/// Length of a record in the file, without its text.
const RECORD_LEN: usize = 46;

/// One weight. Its category is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Record {
    pub(super) key: u64,
    pub(super) weight: f64,
    pub(super) impressions: u64,
    pub(super) clicks: u64,
    /// Line or row of the input.
    pub(super) line: u64,
    /// Field or cross, or one of the two kinds of default weights.
    pub(super) group: u16,
}

/// Takes weights in any order, and gives them back by ascending key and line.
pub(super) struct Sorter {
    held: Part,
    max_held_len_bytes: usize,
    spill: Option<Spill>,
    target: std::path::PathBuf,
}

#[derive(Default)]
struct Part {
    records: Vec<(Record, usize, usize)>,
    texts: String,
}

struct Spill {
    file: File,
    len_bytes: u64,
    buffers: Vec<Vec<u8>>,
    /// Where the blocks of each part are, and how long they are.
    blocks: Vec<Vec<(u64, usize)>>,
}

impl Sorter {
    /// Creates a sorter whose file, if one is needed, is in the folder of `target`. It has no name, so nothing is left
    /// of it if the process dies.
    pub(super) fn new(target: &Path) -> Self {
        Self { held: Part::default(), max_held_len_bytes: MAX_HELD_LEN_BYTES, spill: None, target: target.to_owned() }
    }

    pub(super) fn push(&mut self, record: Record, text: &str) -> io::Result<()> {
        if let Some(spill) = &mut self.spill {
            return spill.push(&record, text);
        }
        self.held.push(record, text);
        if self.held.len_bytes() > self.max_held_len_bytes {
            let mut spill = Spill::create(&self.target)?;
            let held = std::mem::take(&mut self.held);
            for (record, start, end) in &held.records {
                spill.push(record, &held.texts[*start..*end])?;
            }
            self.spill = Some(spill);
        }
        Ok(())
    }

    /// Calls `visit` with each weight and its category.
    pub(super) fn visit<E: From<io::Error>>(
        self,
        visit: &mut dyn FnMut(&Record, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(mut spill) = self.spill else { return self.held.visit(visit) };
        for part in 0..PART_COUNT {
            spill.flush(part)?;
            spill.read(part)?.visit(visit)?;
        }
        Ok(())
    }
}

impl Part {
    fn push(&mut self, record: Record, text: &str) {
        let start = self.texts.len();
        self.texts.push_str(text);
        self.records.push((record, start, self.texts.len()));
    }

    fn len_bytes(&self) -> usize {
        self.records.len() * size_of::<(Record, usize, usize)>() + self.texts.len()
    }

    fn visit<E>(mut self, visit: &mut dyn FnMut(&Record, &str) -> Result<(), E>) -> Result<(), E> {
        self.records.sort_unstable_by_key(|(record, ..)| (record.key, record.line));
        self.records.iter().try_for_each(|(record, start, end)| visit(record, &self.texts[*start..*end]))
    }
}

impl Spill {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().map_or_else(|| "import".into(), |name| name.to_string_lossy().into_owned());
        let path = beside(target, format!(".{name}.{}.sorting", std::process::id()).as_ref());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, len_bytes: 0, buffers: vec![Vec::new(); PART_COUNT], blocks: vec![Vec::new(); PART_COUNT] })
    }

    fn push(&mut self, record: &Record, text: &str) -> io::Result<()> {
        let [.., first] = record.key.to_le_bytes();
        let part = usize::from(first);
        let buffer = &mut self.buffers[part];
        let Record { key, weight, impressions, clicks, line, group } = *record;
        for word in [key, weight.to_bits(), impressions, clicks, line] {
            buffer.extend(word.to_le_bytes());
        }
        buffer.extend(group.to_le_bytes());
        let len = u32::try_from(text.len()).map_err(|_| io::Error::other("a category of 4 GiB"))?;
        buffer.extend(len.to_le_bytes());
        buffer.extend(text.as_bytes());
        if buffer.len() >= BLOCK_LEN { self.flush(part) } else { Ok(()) }
    }

    fn flush(&mut self, part: usize) -> io::Result<()> {
        let buffer = &mut self.buffers[part];
        self.file.write_all_at(buffer, self.len_bytes)?;
        self.blocks[part].push((self.len_bytes, buffer.len()));
        self.len_bytes += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }

    fn read(&mut self, part: usize) -> io::Result<Part> {
        let mut read = Part::default();
        let mut bytes = Vec::new();
        for &(offset, len) in &self.blocks[part] {
            bytes.resize(len, 0);
            self.file.read_exact_at(&mut bytes, offset)?;
            let mut rest = &bytes[..];
            while let Some((fixed, after)) = rest.split_first_chunk::<RECORD_LEN>() {
                let word = |index: usize| {
                    let mut word = [0; 8];
                    word.copy_from_slice(&fixed[8 * index..8 * index + 8]);
                    u64::from_le_bytes(word)
                };
                let record = Record {
                    key: word(0),
                    weight: f64::from_bits(word(1)),
                    impressions: word(2),
                    clicks: word(3),
                    line: word(4),
                    group: u16::from_le_bytes([fixed[40], fixed[41]]),
                };
                let len = u32::from_le_bytes([fixed[42], fixed[43], fixed[44], fixed[45]]) as usize;
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file for sorting was changed");
                let (text, after) = after.split_at_checked(len).ok_or_else(damaged)?;
                read.push(record, str::from_utf8(text).map_err(|_| damaged())?);
                rest = after;
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_by_key_and_line_whether_or_not_they_fit_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let sorted = |max_held_len_bytes: usize| {
            let mut sorter = Sorter { max_held_len_bytes, ..Sorter::new(&folder.path().join("state.parquet")) };
            for number in 0..20_000_u64 {
                // Some keys occur twice.
                let key = (number % 19_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let group = u16::try_from(number % 7).unwrap();
                let record = Record { key, weight: -0.5, impressions: number, clicks: 1, line: number, group };
                sorter.push(record, &"猫".repeat(usize::try_from(number % 5).unwrap())).unwrap();
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
            let mut seen = Vec::new();
            let visited: io::Result<()> = sorter.visit(&mut |record, text| {
                seen.push((*record, text.to_owned()));
                Ok(())
            });
            visited.unwrap();
            seen
        };
        let (held, spilled) = (sorted(usize::MAX), sorted(1_000));
        assert!(held == spilled && held.len() == 20_000);
        assert!(held.is_sorted_by_key(|(record, _)| (record.key, record.line)));
    }
}
