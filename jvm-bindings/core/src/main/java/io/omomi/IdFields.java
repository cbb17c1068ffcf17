package io.omomi;

/**
 * Id fields of one side that are set together, for a server that has a candidate's ids in an array. Create it once and
 * keep it, like a {@link Field}. The fields are in the order of the ids in the array, and must be declared in that
 * order: otherwise {@link #of} throws, instead of producing wrong scores.
 */
public final class IdFields {
    final Schema schema;
    final Side side;
    /** The common {@link Field#use} of the fields. */
    final Object use;
    final int count;
    /** Index of the first field's slot, in words from the start of the row. The others follow. */
    final int firstSlotWord;
    /** Their bits in the masks of the row. */
    final long bits;

    private final String names;

    private IdFields(Field first, int count, long bits, String names) {
        this.schema = first.schema;
        this.side = first.side();
        this.use = first.use;
        this.count = count;
        this.firstSlotWord = first.slotWord;
        this.bits = bits;
        this.names = names;
    }

    /**
     * Combines {@code fields}. They must be of type id, not many, of one side of one schema, and declared in this order
     * with no other field of that side between them.
     *
     * @throws OmomiException with {@link Code#WRONG_FIELD_USE} if they are not, or {@link Code#INVALID_ARGUMENT} if
     *     there are none
     */
    public static IdFields of(Field... fields) {
        if (fields == null) {
            throw OmomiException.nullArgument("fields");
        }
        if (fields.length == 0) {
            throw OmomiException.invalidArgument("fields", "expected one or more, found none");
        }
        long bits = 0;
        StringBuilder names = new StringBuilder();
        for (int i = 0; i < fields.length; i++) {
            Field field = fields[i];
            if (field == null) {
                throw OmomiException.nullArgument("field " + i + " of " + fields.length);
            }
            if (field.type() != FieldType.ID || field.isMany()) {
                throw new OmomiException(
                        Code.WRONG_FIELD_USE,
                        "field `" + field.name() + "` was declared as " + field.declared() + ", but is used as an id");
            }
            if (i > 0) {
                checkFollows(fields[i - 1], field);
            }
            bits |= field.bit;
            names.append(i == 0 ? "" : ", ").append(field.name());
        }
        return new IdFields(fields[0], fields.length, bits, names.toString());
    }

    /** Returns the number of fields, which is also the number of ids that are read from an array. */
    public int count() {
        return count;
    }

    /** Names the fields, for people. */
    @Override
    public String toString() {
        return "IdFields(" + names + ")";
    }

    private static void checkFollows(Field before, Field field) {
        String pair = "field `" + field.name() + "` does not follow `" + before.name() + "`: ";
        if (field.schema != before.schema) {
            throw new OmomiException(Code.WRONG_FIELD_USE, pair + "they belong to two schemas");
        }
        if (field.side() != before.side()) {
            throw new OmomiException(
                    Code.WRONG_FIELD_USE,
                    pair + "it is a " + field.side().word() + " field, the other a " + before.side().word() + " field");
        }
        if (field.slotWord != before.slotWord + 1) {
            throw new OmomiException(
                    Code.WRONG_FIELD_USE,
                    pair + "declare fields that are set together next to each other, in the same order");
        }
    }
}
