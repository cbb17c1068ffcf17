// Made by `omomi contract generate --rust` from the contract generated-ctr, fingerprint af8eac355f781a04. Do
// not edit it: make it again when the contract changes.

use omomi::contract::Side;
use omomi::{Error, FieldSlot, Schema, SchemaField};

/// The fields of the contract generated-ctr: their slots.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "a server need not supply every field")]
pub struct GeneratedCtr {
    /// the user, an opaque number; missing when unknown
    pub user_id: FieldSlot,
    /// kind of device that the user holds
    pub device: FieldSlot,
    /// operating system of the device
    pub os: FieldSlot,
    /// prefecture of Japan in which the user lives
    pub region: FieldSlot,
    /// audience segment to which the user belongs
    pub segment: FieldSlot,
    /// interest categories of the user
    pub interest: FieldSlot,
    /// hour of the day in UTC, 0 to 23
    pub hour: FieldSlot,
    /// the site on which the slot is
    pub site_id: FieldSlot,
    /// where on the page the slot is
    pub slot: FieldSlot,
    /// width and height of the slot in CSS pixels
    pub size: FieldSlot,
    /// the exchange through which the request came
    pub exchange: FieldSlot,
    /// lowest bid that the site accepts
    pub floor_price: FieldSlot,
    /// the creative
    pub creative_id: FieldSlot,
    /// the campaign to which the creative belongs
    pub campaign_id: FieldSlot,
    /// who pays for the campaign
    pub advertiser_id: FieldSlot,
    /// what the campaign advertises
    pub category: FieldSlot,
    /// format of the creative
    pub format: FieldSlot,
    /// what the creative appeals to
    pub theme: FieldSlot,
    /// kind of page to which a click leads
    pub landing: FieldSlot,
    /// time since the creative was first ready to be shown
    pub creative_age: FieldSlot,
}

impl GeneratedCtr {
    /// Declares the fields, and looks up their slots, once for every later model.
    ///
    /// # Errors
    ///
    /// Returns an error only if this text was edited.
    pub fn declare() -> Result<(Schema, Self), Error> {
        let schema = Schema::new(vec![
            SchemaField::id("user_id", Side::Context),
            SchemaField::text("device", Side::Context),
            SchemaField::text("os", Side::Context),
            SchemaField::text("region", Side::Context),
            SchemaField::text("segment", Side::Context),
            SchemaField::text("interest", Side::Context).many(),
            SchemaField::id("hour", Side::Context),
            SchemaField::id("site_id", Side::Context),
            SchemaField::text("slot", Side::Context),
            SchemaField::text("size", Side::Context),
            SchemaField::text("exchange", Side::Context),
            SchemaField::number("floor_price", Side::Context, "JPY per 1,000 impressions", [0.0, 100000.0]),
            SchemaField::id("creative_id", Side::Candidate),
            SchemaField::id("campaign_id", Side::Candidate),
            SchemaField::id("advertiser_id", Side::Candidate),
            SchemaField::text("category", Side::Candidate),
            SchemaField::text("format", Side::Candidate),
            SchemaField::text("theme", Side::Candidate),
            SchemaField::text("landing", Side::Candidate),
            SchemaField::number("creative_age", Side::Candidate, "hours", [0.0, 2400.0]),
        ])?;
        let slot = |name: &str| schema.slot(name).ok_or_else(|| Error::UnknownField { field: name.to_owned() });
        let fields = Self {
            user_id: slot("user_id")?,
            device: slot("device")?,
            os: slot("os")?,
            region: slot("region")?,
            segment: slot("segment")?,
            interest: slot("interest")?,
            hour: slot("hour")?,
            site_id: slot("site_id")?,
            slot: slot("slot")?,
            size: slot("size")?,
            exchange: slot("exchange")?,
            floor_price: slot("floor_price")?,
            creative_id: slot("creative_id")?,
            campaign_id: slot("campaign_id")?,
            advertiser_id: slot("advertiser_id")?,
            category: slot("category")?,
            format: slot("format")?,
            theme: slot("theme")?,
            landing: slot("landing")?,
            creative_age: slot("creative_age")?,
        };
        Ok((schema, fields))
    }
}
