//! `control`: what people decided over the head of `current`.

use std::fmt;
use std::str::FromStr;

use super::{UnexpectedText, generation_text, parse_generation};

/// What people decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Control {
    /// Nothing: what is published is served. The file is absent then.
    #[default]
    Follow,
    /// `freeze`: what is served stays served, whatever is published.
    Freeze,
    /// `off`: nothing is served; the server answers by its own logic, from the next request on.
    Off,
    /// `pin 000041`: this generation is served, whatever is published.
    Pin(u64),
}

/// The text of the file, but for its line end; of [`Control::Follow`], which has no file, `follow`.
impl fmt::Display for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Follow => formatter.write_str("follow"),
            Self::Freeze => formatter.write_str("freeze"),
            Self::Off => formatter.write_str("off"),
            Self::Pin(generation) => write!(formatter, "pin {}", generation_text(*generation)),
        }
    }
}

impl FromStr for Control {
    type Err = UnexpectedText;

    fn from_str(text: &str) -> Result<Self, UnexpectedText> {
        match text.strip_suffix('\n').unwrap_or(text) {
            "follow" => Some(Self::Follow),
            "freeze" => Some(Self::Freeze),
            "off" => Some(Self::Off),
            line => line.strip_prefix("pin ").and_then(parse_generation).map(Self::Pin),
        }
        .ok_or_else(|| UnexpectedText::new("`freeze`, `off` or `pin` and a generation, such as `pin 000041`", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_is_read_back_with_and_without_its_line_end() {
        let decisions = [
            (Control::Follow, "follow"),
            (Control::Freeze, "freeze"),
            (Control::Off, "off"),
            (Control::Pin(41), "pin 000041"),
            (Control::Pin(1_234_567), "pin 1234567"),
        ];
        for (control, text) in decisions {
            assert_eq!(control.to_string(), text);
            assert_eq!(text.parse(), Ok(control));
            assert_eq!(format!("{text}\n").parse(), Ok(control));
        }
    }

    #[test]
    fn a_hand_in_haste_may_leave_zeros_away() {
        assert_eq!("pin 41".parse(), Ok(Control::Pin(41)));
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in ["", "\n", "Off", "off ", " off", "off\n\n", "of", "pin", "pin ", "pin  41", "pin -41", "pin 41 x"]
        {
            assert!(text.parse::<Control>().is_err(), "{text:?}");
        }
    }
}
