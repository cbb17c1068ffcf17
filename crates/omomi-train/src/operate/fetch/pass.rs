//! One pass after its orders: pardons, weight files, `current`.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use omomi::error::Owner;
use omomi::new_file::sync_folder_of;
use omomi::store::{ControlText, Current, Digest, Digester, Named, Pardons};
use omomi::weight_file::WeightFile;
use omomi::weight_file::map::{FileBytes, LoadMode};
use omomi::weight_file::signature::verify_signature;

use super::super::bucket_store::object_of;
use super::super::publish::store_writer::write_text;
use super::super::publish::{MODE_OF_WEIGHT_FILE, PublishError};
use super::error::file_error;
use super::memory::{MAX_REFUSED_COUNT, Refused, unix_seconds, wait_seconds};
use super::orders::{Orders, is_new_order};
use super::{FetchError, FetchOptions, FetchStep, Fetched};
use crate::bucket::{BucketError, Version};

pub(super) struct Pass<'a> {
    pub(super) orders: &'a Orders<'a>,
    pub(super) options: &'a FetchOptions,
    pub(super) watch: &'a mut dyn FnMut(FetchStep),
    pub(super) fetched: Fetched,
}

pub(super) fn replace(path: &Path, text: &str) -> Result<(), FetchError> {
    write_text(path, text)?.take_name().map_err(file_error("replace", path))?;
    sync_folder_of(path).map_err(file_error("sync the folder of", path))
}

/// Whether `current` may become what the bucket says.
pub(super) fn check_direction(address: &str, found: Current, present: Option<Current>) -> Result<(), FetchError> {
    match present {
        Some(present) if found.generation < present.generation => Err(FetchError::GoesBack {
            address: address.to_owned(),
            found: found.generation,
            present: present.generation,
        }),
        Some(present) if found.generation == present.generation && found.digest != present.digest => {
            Err(FetchError::OtherBytes { address: address.to_owned(), expected: present.digest, found: found.digest })
        }
        _ => Ok(()),
    }
}

/// The name of the part of a generation's file. Parts of other bytes under one number must not be joined.
pub(super) fn part_name(named: Named) -> String {
    let of = named.digest.map_or_else(|| "any".to_owned(), |digest| digest.to_string()[..16].to_owned());
    format!("{:06}-{of}.part", named.generation)
}

pub(super) fn checked_text(named: Named) -> Option<String> {
    Some(format!("{} {}", named.generation, named.digest?))
}

impl Pass<'_> {
    pub(super) fn run(mut self, orders: Option<ControlText>) -> Result<Fetched, FetchError> {
        let pardons = self.take_pardons();
        let current = self.read_current();
        let ordered = orders.and_then(|orders| orders.target?.named());
        if let Ok(current) = &current {
            // The space of other parts may be needed. Nothing names their generations any more.
            self.remove_parts(&ordered.into_iter().chain(current.map(Named::from)).map(part_name).collect::<Vec<_>>());
        }
        // None of these must wait for what is wrong with the others.
        let ordered = ordered.map_or(Ok(()), |ordered| self.bring(ordered, false));
        let followed = current.and_then(|current| self.follow(current));
        pardons.and(ordered).and(followed)?;
        let _ = fs::remove_dir_all(self.incoming());
        Ok(self.fetched)
    }

    pub(super) fn take_pardons(&mut self) -> Result<(), FetchError> {
        let Some(text) = self.orders.read_text("pardons")? else { return Ok(()) };
        self.orders.parse::<Pardons>("pardons", &text)?;
        if is_new_order(Some(&text), self.orders.state().memory.pardons.as_deref()) {
            self.orders.write_order(&self.orders.store.pardons_path(), &text)?;
            self.orders.remember(|memory| memory.pardons = Some(text))?;
            self.fetched.pardons = true;
        }
        Ok(())
    }

    pub(super) fn read_current(&self) -> Result<Option<Current>, FetchError> {
        let text = self.orders.read_text("current")?;
        text.as_deref().map(|text| self.orders.parse("current", text)).transpose()
    }

    /// Lets `current` of the store be that of the bucket.
    pub(super) fn follow(&mut self, named: Option<Current>) -> Result<(), FetchError> {
        let present = self.orders.store.read_current().map_err(PublishError::from).unwrap_or_default();
        let address = self.orders.address("current");
        let Some(named) = named else {
            let Some(Current { generation: present, .. }) = present else {
                self.fetched.is_unpublished = true;
                return Ok(());
            };
            return Err(FetchError::CurrentMissing { address, present });
        };
        check_direction(&address, named, present)?;
        self.bring(named.into(), present != Some(named))?;
        if present != Some(named) {
            (self.watch)(FetchStep::ReplaceCurrent);
            replace(&self.orders.store.current_path(), &format!("{named}"))?;
            self.fetched.current = Some(named);
        }
        Ok(())
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.orders.store.dir().join("incoming")
    }

    /// Removes all parts but those of these names. What cannot be removed does no harm.
    pub(super) fn remove_parts(&self, kept: &[String]) {
        for entry in self.incoming().read_dir().into_iter().flatten().flatten() {
            if !kept.iter().any(|kept| entry.file_name() == **kept) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Makes sure that a generation has its weight file. The digest of one that is there is checked once after each
    /// change of the orders, and always if `is_new`.
    pub(super) fn bring(&mut self, named: Named, is_new: bool) -> Result<(), FetchError> {
        let path = self.orders.store.generation_path(named.generation);
        if path.exists() {
            return self.check_present(named, &path, is_new);
        }
        let name = object_of(named.generation, self.orders.store);
        let missing = || BucketError::Missing { address: self.orders.address(&name) };
        let version = self.orders.bucket.look_at(&name)?.ok_or_else(missing)?;
        self.check_refused(&name, &version, named)?;
        let incoming = self.incoming();
        fs::create_dir_all(&incoming).map_err(file_error("create", &incoming))?;
        let part = incoming.join(part_name(named));
        let (found, is_whole) = self.copy(&name, &version, &part)?;
        if let Some(expected) = named.digest.filter(|expected| *expected != found) {
            // The next pass must not go on from these bytes.
            let _ = fs::remove_file(&part);
            let error = FetchError::OtherBytes { address: self.orders.address(&name), expected, found };
            // Only what was copied in one piece tells that the object is wrong, and not an earlier part.
            return Err(if is_whole { self.refuse(&name, &version, named, error) } else { error });
        }
        (self.watch)(FetchStep::Verify);
        let verified = self.check_signature(&part).and_then(|()| Ok(self.options.verifier.verify(&part)?));
        if let Err(error) = verified {
            if matches!(&error, FetchError::Publish(PublishError::NotVerified { .. } | PublishError::Serving(_))) {
                let _ = fs::remove_file(&part);
                return Err(self.refuse(&name, &version, named, error));
            }
            return Err(error);
        }
        let mode = Permissions::from_mode(MODE_OF_WEIGHT_FILE);
        fs::set_permissions(&part, mode).map_err(file_error("make read-only", &part))?;
        (self.watch)(FetchStep::TakeName);
        // A link never replaces a file; servers that open it see one name only after the other is gone.
        fs::rename(&part, &path).map_err(file_error("name", &path))?;
        sync_folder_of(&path).map_err(file_error("sync the folder of", &path))?;
        self.fetched.files.push((named.generation, version.len_bytes));
        self.remember_checked(named, &name)
    }

    /// Checks the digest of a weight file that is already there.
    pub(super) fn check_present(&mut self, named: Named, path: &Path, is_new: bool) -> Result<(), FetchError> {
        let (Some(expected), Some(text)) = (named.digest, checked_text(named)) else { return Ok(()) };
        if !is_new && self.orders.state().memory.checked.contains(&text) {
            return Ok(());
        }
        (self.watch)(FetchStep::Digest);
        let found = Digest::of_file(path).map_err(file_error("read", path))?;
        if found != expected {
            return Err(FetchError::OtherFile { path: path.to_owned(), expected, found });
        }
        self.remember_checked(named, &object_of(named.generation, self.orders.store))
    }

    pub(super) fn remember_checked(&self, named: Named, name: &str) -> Result<(), FetchError> {
        self.orders.remember(|memory| {
            memory.refused.retain(|refused| refused.name != name);
            let Some(text) = checked_text(named) else { return };
            // At most two generations are named at one time.
            memory.checked.retain(|other| *other != text);
            memory.checked.push(text);
            let excess = memory.checked.len().saturating_sub(2);
            memory.checked.drain(..excess);
        })
    }

    /// Returns the error of an earlier pass about this version of an object, until it is time to copy it again.
    pub(super) fn check_refused(&self, name: &str, version: &Version, named: Named) -> Result<(), FetchError> {
        let memory = self.orders.state().memory;
        let Some(refused) = memory.refused.iter().find(|refused| refused.is(name, version, named)) else {
            return Ok(());
        };
        let seconds_ago = unix_seconds().checked_sub(refused.unix_seconds).unwrap_or(u64::MAX);
        match wait_seconds(refused.count, seconds_ago) {
            0 => Ok(()),
            wait_seconds => Err(FetchError::RefusedBefore {
                code: refused.code.clone(),
                owner: Owner::from_word(&refused.owner).unwrap_or(Owner::Ml),
                problem: refused.problem.clone(),
                wait_seconds,
            }),
        }
    }

    /// Remembers that this version of an object was refused, and returns the error.
    pub(super) fn refuse(&self, name: &str, version: &Version, named: Named, error: FetchError) -> FetchError {
        let Some(identity) = version.identity() else { return error };
        let remembered = self.orders.remember(|memory| {
            let before = memory.refused.iter().find(|refused| refused.is(name, version, named));
            let count = before.map_or(0, |before| before.count).saturating_add(1);
            memory.refused.retain(|refused| !refused.is(name, version, named));
            memory.refused.push(Refused {
                name: name.to_owned(),
                version: identity,
                digest: named.digest.map(|digest| digest.to_string()),
                code: error.name().to_owned(),
                owner: error.owner().word().to_owned(),
                problem: error.to_string(),
                count,
                unix_seconds: unix_seconds(),
            });
            let excess = memory.refused.len().saturating_sub(MAX_REFUSED_COUNT);
            memory.refused.drain(..excess);
        });
        // The object is then only copied again sooner.
        drop(remembered);
        error
    }

    pub(super) fn check_signature(&self, path: &Path) -> Result<(), FetchError> {
        let Some((policy, keys)) = &self.options.signature else { return Ok(()) };
        let bytes = FileBytes::load(path, LoadMode::Map).map_err(PublishError::from)?;
        let file = WeightFile::open(bytes).map_err(PublishError::from)?;
        verify_signature(&file, keys, *policy).map(|_| ()).map_err(|error| PublishError::from(error).into())
    }

    /// Copies an object to `part`, from where an earlier pass stopped. Returns the digest of the whole, and whether
    /// all of it was copied now.
    pub(super) fn copy(&mut self, name: &str, version: &Version, part: &Path) -> Result<(Digest, bool), FetchError> {
        let failed = |action| file_error(action, part);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(part).map_err(failed("open"))?;
        let mut start = file.metadata().map_err(failed("look at"))?.len();
        if start > version.len_bytes {
            file.set_len(0).map_err(failed("shorten"))?;
            start = 0;
        }
        file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        let mut reader = self.orders.bucket.reader(name, version, start, self.options.pace)?;
        let mut piece = vec![0; 1 << 20];
        loop {
            (self.watch)(FetchStep::Copy);
            let len = reader.read(&mut piece).map_err(|error| BucketError::of(error, self.orders.address(name)))?;
            if len == 0 {
                break;
            }
            file.write_all(&piece[..len]).map_err(failed("write"))?;
            self.fetched.copied_bytes += len as u64;
        }
        file.sync_all().map_err(failed("sync"))?;
        (self.watch)(FetchStep::Digest);
        file.rewind().map_err(failed("read"))?;
        let mut digester = Digester::new();
        loop {
            match file.read(&mut piece).map_err(failed("read"))? {
                0 => return Ok((digester.finish(), start == 0)),
                len => digester.update(&piece[..len]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_only_go_forward_and_one_number_has_one_content() {
        let current = |generation, bytes: &[u8]| Current { generation, digest: Digest::of(bytes) };
        let check =
            |found, present| check_direction("s3://ads/current", found, present).map_err(|it| it.name().to_owned());
        assert_eq!(check(current(7, b"a"), None), Ok(()));
        assert_eq!(check(current(8, b"b"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"a"), Some(current(7, b"a"))), Ok(()));
        assert_eq!(check(current(7, b"b"), Some(current(7, b"a"))), Err("digest_mismatch".to_owned()));
        assert_eq!(check(current(6, b"a"), Some(current(7, b"a"))), Err("goes_back".to_owned()));
    }
}
