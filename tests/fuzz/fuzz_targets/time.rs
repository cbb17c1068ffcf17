//! Passes arbitrary text to the parser of times in logs. It never panics. A time that it accepts is plausible, and
//! reads back the same from its RFC 3339 text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use omomi::contract::TimeUnit;
use omomi_train::learn::utc;
use omomi_train::log::parse_time_us;

/// 2000-01-01, in microseconds since 1970.
const MIN_TIME_US: i64 = 946_684_800_000_000;

fuzz_target!(|text: &str| {
    for unit in TimeUnit::WORDS.iter().map(|word| TimeUnit::of_word(word)).chain([None]) {
        // Any time: whatever is returned has not overflowed.
        let _ = parse_time_us(text, unit, true);
        if let Some(time_us) = parse_time_us(text, unit, false) {
            assert!(time_us >= MIN_TIME_US, "{text:?} is {time_us} in {unit:?}");
            let again = utc(time_us).expect("a plausible time has a year");
            assert_eq!(parse_time_us(&again, unit, false), Some(time_us), "{text:?} in {unit:?}");
        }
    }
});
