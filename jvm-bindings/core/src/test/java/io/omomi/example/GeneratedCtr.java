/*
 * Made by `omomi contract generate --java` from the contract generated-ctr, fingerprint af8eac355f781a04.
 * Do not edit it: make it again when the contract changes.
 */
package io.omomi.example;

import io.omomi.Field;
import io.omomi.Schema;
import io.omomi.Side;

/** The fields of the contract generated-ctr, declared once for every later model. */
public final class GeneratedCtr {
    /** The declaration. */
    public static final Schema SCHEMA = Schema.builder()
            .id("user_id", Side.CONTEXT)
            .text("device", Side.CONTEXT)
            .text("os", Side.CONTEXT)
            .text("region", Side.CONTEXT)
            .text("segment", Side.CONTEXT)
            .texts("interest", Side.CONTEXT)
            .id("hour", Side.CONTEXT)
            .id("site_id", Side.CONTEXT)
            .text("slot", Side.CONTEXT)
            .text("size", Side.CONTEXT)
            .text("exchange", Side.CONTEXT)
            .number("floor_price", Side.CONTEXT, "JPY per 1,000 impressions", 0.0, 100000.0)
            .id("creative_id", Side.CANDIDATE)
            .id("campaign_id", Side.CANDIDATE)
            .id("advertiser_id", Side.CANDIDATE)
            .text("category", Side.CANDIDATE)
            .text("format", Side.CANDIDATE)
            .text("theme", Side.CANDIDATE)
            .text("landing", Side.CANDIDATE)
            .number("creative_age", Side.CANDIDATE, "hours", 0.0, 2400.0)
            .build();

    /** the user, an opaque number; missing when unknown. */
    public static final Field USER_ID = SCHEMA.field("user_id");

    /** kind of device that the user holds. */
    public static final Field DEVICE = SCHEMA.field("device");

    /** operating system of the device. */
    public static final Field OS = SCHEMA.field("os");

    /** prefecture of Japan in which the user lives. */
    public static final Field REGION = SCHEMA.field("region");

    /** audience segment to which the user belongs. */
    public static final Field SEGMENT = SCHEMA.field("segment");

    /** interest categories of the user. */
    public static final Field INTEREST = SCHEMA.field("interest");

    /** hour of the day in UTC, 0 to 23. */
    public static final Field HOUR = SCHEMA.field("hour");

    /** the site on which the slot is. */
    public static final Field SITE_ID = SCHEMA.field("site_id");

    /** where on the page the slot is. */
    public static final Field SLOT = SCHEMA.field("slot");

    /** width and height of the slot in CSS pixels. */
    public static final Field SIZE = SCHEMA.field("size");

    /** the exchange through which the request came. */
    public static final Field EXCHANGE = SCHEMA.field("exchange");

    /** lowest bid that the site accepts. */
    public static final Field FLOOR_PRICE = SCHEMA.field("floor_price");

    /** the creative. */
    public static final Field CREATIVE_ID = SCHEMA.field("creative_id");

    /** the campaign to which the creative belongs. */
    public static final Field CAMPAIGN_ID = SCHEMA.field("campaign_id");

    /** who pays for the campaign. */
    public static final Field ADVERTISER_ID = SCHEMA.field("advertiser_id");

    /** what the campaign advertises. */
    public static final Field CATEGORY = SCHEMA.field("category");

    /** format of the creative. */
    public static final Field FORMAT = SCHEMA.field("format");

    /** what the creative appeals to. */
    public static final Field THEME = SCHEMA.field("theme");

    /** kind of page to which a click leads. */
    public static final Field LANDING = SCHEMA.field("landing");

    /** time since the creative was first ready to be shown. */
    public static final Field CREATIVE_AGE = SCHEMA.field("creative_age");

    private GeneratedCtr() {}
}
