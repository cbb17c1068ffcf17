/*
 * Made by `omomi contract generate --java` from the contract * / "x" \ u00 <b> 広告 ??/, fingerprint
 * 4c21742cb5badbf6. Do not edit it: make it again when the contract changes.
 */
package io.omomi.declared;

import io.omomi.Field;
import io.omomi.Schema;
import io.omomi.Side;

/**
 * The fields of the contract &#42;/ "x" &#92;u00 &lt;b&gt; 広告 ??/, declared once for every later model.
 * type, class take texts in Unicode NFC: training normalizes them, and scoring does not, so the server
 * must send NFC. A text in another form is an unseen category.
 */
public final class Awkward {
    /** The declaration. */
    public static final Schema SCHEMA = Schema.builder()
            .id("site_id", Side.CONTEXT)
            .id("siteId", Side.CONTEXT)
            .text("type", Side.CONTEXT)
            .texts("class", Side.CONTEXT)
            .id("_", Side.CONTEXT)
            .ids("__1", Side.CONTEXT)
            .number("NULL", Side.CONTEXT, "yen \"¥\" per \\u0041 $1 ??= \\", -1e300, 1e16)
            .id("errno", Side.CANDIDATE)
            .texts("wait", Side.CANDIDATE)
            .ids("schema", Side.CANDIDATE)
            .text("context", Side.CANDIDATE)
            .number("unix", Side.CANDIDATE, "s", 1e-7, 0.1)
            .build();

    /** ends a comment &#42;/ and opens one /&#42; in Scala /&#42;&#42; and C. */
    public static final Field SITE_ID = SCHEMA.field("site_id");

    /** the same name in most languages; &#92;u is no character, &#92;u0022 is a quote, and &#92;. */
    public static final Field SITE_ID_2 = SCHEMA.field("siteId");

    /**
     * a word of Scala and Rust. &lt;b&gt;HTML&lt;/b&gt; &amp; &#123;&#64;link Nothing&#125; &#64;see
     * `[nothing]` #. Send it as Unicode NFC.
     */
    public static final Field TYPE = SCHEMA.field("type");

    /** a word of Java and C++ 広告の種類. Send it as Unicode NFC. */
    public static final Field CLASS = SCHEMA.field("class");

    /** a name without a letter. */
    public static final Field FIELD = SCHEMA.field("_");

    /** a name with a digit only ??/. */
    public static final Field FIELD_1 = SCHEMA.field("__1");

    /** a macro of C. */
    public static final Field NULL = SCHEMA.field("NULL");

    /** a macro of C in lower case. */
    public static final Field ERRNO = SCHEMA.field("errno");

    /** a method of every object. */
    public static final Field WAIT = SCHEMA.field("wait");

    /**
     * what a declaration calls itself. A meaning may be long, so it is broken into lines that people can
     * read. A meaning may be long, so it is broken into lines that people can read. A meaning may be long,
     * so it is broken into lines that people can read. A meaning may be long, so it is broken into lines
     * that people can read. .
     */
    public static final Field SCHEMA_FIELD = SCHEMA.field("schema");

    /** a side. */
    public static final Field CONTEXT = SCHEMA.field("context");

    /** a macro of gcc. */
    public static final Field UNIX = SCHEMA.field("unix");

    private Awkward() {}
}
