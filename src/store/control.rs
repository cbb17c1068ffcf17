//! `control`: the decision by which people override `current`.

use std::fmt;
use std::str::FromStr;

use super::{UnexpectedText, generation_text, parse_generation};

/// A decision of people about what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Control {
    /// No decision: the published generation is served. The file is then absent.
    #[default]
    Follow,
    /// `freeze`: the served generation stays, even if another one is published.
    Freeze,
    /// `off`: nothing is served. From the next request on, the server uses its own logic.
    Off,
    /// `pin 000041`: this generation is served, even if another one is published.
    Pin(u64),
}

/// Writes the text of the file without its line end; `follow` for [`Control::Follow`], which has no file.
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
    fn people_may_omit_the_leading_zeros() {
        assert_eq!("pin 41".parse(), Ok(Control::Pin(41)));
    }

    #[test]
    fn any_other_text_is_rejected() {
        for text in ["", "\n", "Off", "off ", " off", "off\n\n", "of", "pin", "pin ", "pin  41", "pin -41", "pin 41 x"]
        {
            assert!(text.parse::<Control>().is_err(), "{text:?}");
        }
    }
}
