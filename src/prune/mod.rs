//! Makes a training state smaller on purpose.

mod bill;

pub use bill::{
    Amounts, Bill, BudgetBill, Change, CurvePoint, FieldChange, HeldOutChange, MeasureBill, Quality, RuleBill,
};
