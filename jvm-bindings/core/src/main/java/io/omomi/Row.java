package io.omomi;

import java.nio.LongBuffer;
import java.util.List;

/**
 * The fields of the context or of one candidate. A field that is not set is missing. If a field is set twice, the last
 * value is kept. Each setter throws {@link OmomiException} with {@link Code#WRONG_FIELD_USE} for a field of another
 * schema, side or type, {@link Code#CLOSED} after close, or {@link Code#SCORER_BUSY} on another thread than the one to
 * which the scorer belongs, even for a row that was kept; the row is then unchanged. Nothing here allocates.
 */
public final class Row {
    static final int PRESENT_WORD = Block.ROW_PRESENT_OFFSET / Block.SLOT_LEN;
    static final int INLINE_TEXT_WORD = Block.ROW_INLINE_TEXT_OFFSET / Block.SLOT_LEN;

    private final Request request;
    /** The block as words: the JVM checks the index of a word in fewer steps than the eight bytes at an offset. */
    private final LongBuffer words;
    private final Tail tail;
    private final Side side;
    private final Object useId;
    private final Object useIds;
    private final Object useText;
    private final Object useTexts;
    private final Object useNumber;
    /** Start of the row in the block, in words. */
    private int firstWord;
    /**
     * The row's mask of present fields, and its mask of texts in the tail. {@link #seal} writes them to the block when
     * the row is complete: a setter that changed them in the block would wait for the write of the previous one.
     */
    private long present;
    private long inlineText;

    Row(Request request, Side side, int firstWord) {
        this.request = request;
        this.words = request.words;
        this.tail = request.tail;
        this.side = side;
        this.firstWord = firstWord;
        Schema schema = request.schema;
        this.useId = schema.use(side, FieldType.ID, false);
        this.useIds = schema.use(side, FieldType.ID, true);
        this.useText = schema.use(side, FieldType.TEXT, false);
        this.useTexts = schema.use(side, FieldType.TEXT, true);
        this.useNumber = schema.use(side, FieldType.NUMBER, false);
    }

    /** Moves to the row at a word of the block, and begins it without any field set, ignoring its old contents. */
    Row begin(int newFirstWord) {
        seal();
        firstWord = newFirstWord;
        present = 0;
        inlineText = 0;
        return this;
    }

    /** Moves back to the row at a word of the block, and keeps the fields set in it. */
    Row resume(int newFirstWord) {
        seal();
        firstWord = newFirstWord;
        present = words.get(newFirstWord + PRESENT_WORD);
        inlineText = words.get(newFirstWord + INLINE_TEXT_WORD);
        return this;
    }

    /** Writes the masks to the block. Called before moving to another row and before a native call. */
    void seal() {
        words.put(firstWord + PRESENT_WORD, present);
        words.put(firstWord + INLINE_TEXT_WORD, inlineText);
    }

    /** Moves to the row at a word of the block, and begins it. The row before is already in the block. */
    Row restart(int newFirstWord) {
        firstWord = newFirstWord;
        forget();
        return this;
    }

    /** Makes all fields of the row missing. */
    void forget() {
        present = 0;
        inlineText = 0;
    }

    /** Makes all fields of the row missing again. The candidate still counts as filled. */
    public Row clear() {
        request.checkMayBeSet();
        forget();
        return this;
    }

    /** Sets an {@code id} field. */
    public Row setId(Field field, long id) {
        check(field, useId, "an id");
        return set(field, id);
    }

    /**
     * Sets all of {@code fields} to the ids in {@code ids} from index {@code first} on, one for each. Does the same as
     * {@link #setId} field by field, in a fraction of the time.
     *
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} if the array has too few ids from {@code first} on
     */
    public Row setIdFields(IdFields fields, long[] ids, int first) {
        if (fields == null) {
            throw noField("id fields");
        }
        if (fields.use != useId) {
            throw wrongUse(fields);
        }
        request.checkMayBeSet();
        if (ids == null) {
            throw OmomiException.nullArgument("ids");
        }
        int count = fields.count;
        if (first < 0 || first > ids.length - count) {
            throw tooFewIds(count, ids.length, first);
        }
        int word = firstWord + fields.firstSlotWord;
        words.position(word);
        words.put(ids, first, count);
        present |= fields.bits;
        return this;
    }

    /**
     * Sets a {@code text} field. The text's UTF-8 bytes go to the tail. An unpaired surrogate has no UTF-8 encoding:
     * the candidate fails with {@link CandidateStatus#NOT_UTF8}, or the whole request if it is in the context.
     *
     * @throws OmomiException with {@link Code#TAIL_FULL} if the text does not fit
     */
    public Row setText(Field field, CharSequence text) {
        check(field, useText, "a text");
        if (text == null) {
            throw OmomiException.nullArgument("text");
        }
        long slot = isInTail(field, present & inlineText)
                ? tail.putTextAgain(words.get(firstWord + field.slotWord), text)
                : tail.putText(text);
        return set(field, slot, true);
    }

    /** Sets a {@code text} field by the value of its text, computed once by {@link Feature#textValue} and kept. */
    public Row setTextValue(Field field, long textValue) {
        check(field, useText, "a text value");
        return set(field, textValue, false);
    }

    /** Sets a {@code number} field. NaN and numbers out of the field's range are counted, and treated as missing. */
    public Row setNumber(Field field, double number) {
        check(field, useNumber, "a number");
        return set(field, Double.doubleToRawLongBits(number));
    }

    /**
     * Sets a {@code many} field of ids to the first {@code count} of {@code ids}. An empty list is a known value, not a
     * missing one.
     *
     * @throws OmomiException with {@link Code#TOO_MANY_VALUES} for more than 1,024, {@link Code#INVALID_ARGUMENT} for a
     *     count outside the array, or {@link Code#TAIL_FULL} if they do not fit
     */
    public Row setIds(Field field, long[] ids, int count) {
        check(field, useIds, "ids");
        return setLongs(field, "ids", ids, count);
    }

    /** Sets a {@code many} field of texts by their values, like {@link #setIds}. */
    public Row setTextValues(Field field, long[] textValues, int count) {
        check(field, useTexts, "text values");
        return setLongs(field, "textValues", textValues, count);
    }

    /**
     * Sets a {@code many} field of texts to the first {@code count} of {@code texts}, like {@link #setIds} and
     * {@link #setText}.
     */
    public Row setTexts(Field field, CharSequence[] texts, int count) {
        check(field, useTexts, "texts");
        if (texts == null) {
            throw OmomiException.nullArgument("texts");
        }
        checkCount(field, count, texts.length, "texts");
        long len = 0;
        for (int i = 0; i < count; i++) {
            len += textLen(texts[i]);
        }
        if (isInTail(field, present)) {
            long slot = takeListAgain(field, count, len);
            for (int i = 0; i < count; i++) {
                tail.putListedText(slot, i, texts[i]);
            }
            return set(field, slot, true);
        }
        int list = tail.takeList(count, len);
        for (int i = 0; i < count; i++) {
            tail.setListed(list, i, tail.putText(texts[i]));
        }
        return set(field, Tail.reference(list, count), true);
    }

    /** Sets a {@code many} field of texts to all of {@code texts}, whose {@code get} should take constant time. */
    public Row setTexts(Field field, List<? extends CharSequence> texts) {
        check(field, useTexts, "texts");
        if (texts == null) {
            throw OmomiException.nullArgument("texts");
        }
        int count = texts.size();
        checkCount(field, count, count, "texts");
        long len = 0;
        for (int i = 0; i < count; i++) {
            len += textLen(texts.get(i));
        }
        if (isInTail(field, present)) {
            long slot = takeListAgain(field, count, len);
            for (int i = 0; i < count; i++) {
                tail.putListedText(slot, i, texts.get(i));
            }
            return set(field, slot, true);
        }
        int list = tail.takeList(count, len);
        for (int i = 0; i < count; i++) {
            tail.setListed(list, i, tail.putText(texts.get(i)));
        }
        return set(field, Tail.reference(list, count), true);
    }

    /** Makes a field missing again. */
    public Row unset(Field field) {
        if (field == null) {
            throw noField("a field");
        }
        check(field, request.schema.use(side, field.type(), field.isMany()), "a field of the " + side.word());
        present &= ~field.bit;
        inlineText &= ~field.bit;
        return this;
    }

    private static long textLen(CharSequence text) {
        if (text == null) {
            throw OmomiException.nullArgument("a text");
        }
        return Utf8.len(text);
    }

    private Row setLongs(Field field, String argument, long[] values, int count) {
        if (values == null) {
            throw OmomiException.nullArgument(argument);
        }
        checkCount(field, count, values.length, argument);
        if (isInTail(field, present)) {
            long slot = takeListAgain(field, count, 0);
            for (int i = 0; i < count; i++) {
                tail.setListed((int) slot, i, values[i]);
            }
            return set(field, slot, false);
        }
        int list = tail.takeList(count, 0);
        for (int i = 0; i < count; i++) {
            tail.setListed(list, i, values[i]);
        }
        return set(field, Tail.reference(list, count), false);
    }

    /** Whether the field has a value in the tail, which the next one replaces. */
    private static boolean isInTail(Field field, long bits) {
        return (bits & field.bit) != 0;
    }

    private long takeListAgain(Field field, int count, long textsLen) {
        return tail.takeListAgain(
                words.get(firstWord + field.slotWord), (inlineText & field.bit) != 0, count, textsLen);
    }

    private static void checkCount(Field field, int count, int available, String argument) {
        if (count > Block.MAX_VALUES_PER_FIELD) {
            throw new OmomiException(
                    Code.TOO_MANY_VALUES,
                    "too many values in field `" + field.name() + "`: at most " + Block.MAX_VALUES_PER_FIELD + ", found "
                            + count);
        }
        if (count < 0 || count > available) {
            throw OmomiException.invalidArgument(
                    "count", "expected 0 to " + available + " (" + argument + "), found " + count);
        }
    }

    private Row set(Field field, long slot) {
        words.put(firstWord + field.slotWord, slot);
        present |= field.bit;
        return this;
    }

    /** Sets a text field; notes whether the slot refers to a text in the tail or holds a value. */
    private Row set(Field field, long slot, boolean isInlineText) {
        inlineText = isInlineText ? inlineText | field.bit : inlineText & ~field.bit;
        return set(field, slot);
    }

    private void check(Field field, Object use, String used) {
        if (field == null) {
            throw noField(used);
        }
        if (field.use != use) {
            throw wrongUse(field, used);
        }
        request.checkMayBeSet();
    }

    /** A null has no name, so the message says what was about to be set. */
    private OmomiException noField(String used) {
        return new OmomiException(
                Code.NULL_ARGUMENT,
                "field is null, where " + used + " of the " + side.word() + " is set: a static field or a val is null while"
                        + " the class or object that declares it is still being initialized; look fields up before"
                        + " anything that uses them");
    }

    private static OmomiException tooFewIds(int count, int len, int first) {
        return OmomiException.invalidArgument(
                "first",
                "expected an index with " + count + " ids from there on in an array of " + len + ", found " + first);
    }

    private OmomiException wrongUse(IdFields fields) {
        if (fields.schema != request.schema) {
            return new OmomiException(
                    Code.WRONG_FIELD_USE,
                    fields + " belong to another schema than the request: use those of the schema that"
                            + " the request's layout was made of");
        }
        return new OmomiException(
                Code.WRONG_FIELD_USE,
                fields + " belong to the " + fields.side.word() + ", but are used in the " + side.word());
    }

    private OmomiException wrongUse(Field field, String used) {
        if (field.schema != request.schema) {
            return new OmomiException(
                    Code.WRONG_FIELD_USE,
                    "field `" + field.name() + "` belongs to another schema than the request: use the field of the schema"
                            + " that the request's layout was made of");
        }
        return new OmomiException(
                Code.WRONG_FIELD_USE,
                "field `" + field.name() + "` was declared as " + field.declared() + ", but is used as " + used
                        + " of the " + side.word());
    }
}
