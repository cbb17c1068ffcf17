//! Which orders are in force: what was heard last, in this process or in the one before it.

use super::super::reason::Reason;
use crate::store::{Control, ControlText, Target};

/// What a look at `control` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) enum ControlSeen {
    /// Orders.
    Text(ControlText),
    /// There is no file. The reason says so.
    Absent(Reason),
    /// The file cannot be read, or is not an order.
    Unreadable(Reason),
}

/// The orders in force. An order holds until another one is heard: a `control` that is gone or cannot be read changes
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::live) struct Orders {
    /// What the process before this one heard last.
    inherited: Option<Control>,
    /// The last text that this process heard, and the orders that were in force after it.
    heard: Option<(ControlText, Control)>,
    /// What the last look found wrong.
    problem: Option<Reason>,
    /// Whether `control` was there and could not be understood, before anything was ever heard.
    is_cautious: bool,
}

impl Orders {
    /// Takes over what the process before this one heard last.
    pub(in crate::live) fn inherit(&mut self, heard: Option<Control>) {
        self.inherited = heard.or(self.inherited);
        if let Some((text, control)) = &mut self.heard {
            // A text that was read before the journal, and that names one order only, leaves the other as it was.
            *control = text.over(self.inherited.unwrap_or(*control));
        }
    }

    /// Takes note of a look at `control`.
    pub(in crate::live) fn hear(&mut self, seen: ControlSeen) {
        match seen {
            ControlSeen::Text(text) => {
                // A caution is over once a text can be read.
                let before = self.last_heard().unwrap_or_default();
                self.heard = Some((text, text.over(before)));
                (self.problem, self.is_cautious) = (None, false);
            }
            ControlSeen::Absent(reason) => self.problem = Some(reason),
            ControlSeen::Unreadable(reason) => {
                self.problem = Some(reason);
                self.is_cautious = self.last_heard().is_none();
            }
        }
    }

    /// Returns the last orders that were heard, by this process or the one before it.
    pub(in crate::live) fn last_heard(&self) -> Option<Control> {
        self.heard.map(|(_, control)| control).or(self.inherited)
    }

    /// Returns the orders in force. If nothing was ever heard: on, follow. If there was a text that nobody can
    /// understand: stay at what is served.
    pub(in crate::live) fn in_force(&self) -> Control {
        let unheard = Control {
            target: if self.is_cautious { Target::Freeze(None) } else { Target::Follow },
            ..Control::default()
        };
        self.last_heard().unwrap_or(unheard)
    }

    /// Returns why the last look found no orders.
    pub(in crate::live) const fn problem(&self) -> Option<&Reason> {
        self.problem.as_ref()
    }
}
