package io.omomi;

/**
 * One declared field. Get it from {@link Schema#field} once and keep it, so that setting a value needs no look-up by
 * name.
 */
public final class Field {
    final Schema schema;
    /** Index of its slot, in words from the start of the row. */
    final int slotWord;
    /** Its bit in the masks of the row. */
    final long bit;
    /** Identifies schema, side, type and many, so that a setter checks all four with one comparison. */
    final Object use;

    private final String name;
    private final Side side;
    private final FieldType type;
    private final boolean many;
    private final String unit;
    private final double rangeMin;
    private final double rangeMax;

    Field(Schema schema, int slot, Schema.Declared declared) {
        this.schema = schema;
        this.slotWord = Block.ROW_SLOTS_OFFSET / Block.SLOT_LEN + slot;
        this.bit = 1L << slot;
        this.name = declared.name;
        this.side = declared.side;
        this.type = declared.type;
        this.many = declared.many;
        this.unit = declared.unit;
        this.rangeMin = declared.rangeMin;
        this.rangeMax = declared.rangeMax;
        this.use = schema.use(side, type, many);
    }

    /** Returns its name, as in the contract. */
    public String name() {
        return name;
    }

    /** Returns its side, as in the contract. */
    public Side side() {
        return side;
    }

    /** Returns its type, as in the contract. */
    public FieldType type() {
        return type;
    }

    /** Returns whether a row has zero or more values of it. */
    public boolean isMany() {
        return many;
    }

    /** Returns the unit of a number, or an empty text for the other types. */
    public String unit() {
        return unit;
    }

    /** Returns the minimum of a number, or 0 for the other types. */
    public double rangeMin() {
        return rangeMin;
    }

    /** Returns the maximum of a number, or 0 for the other types. */
    public double rangeMax() {
        return rangeMax;
    }

    /** Describes its declaration, for example {@code a context field of type text, many}. */
    String declared() {
        return "a " + side.word() + " field of type " + type.word() + (many ? ", many" : "");
    }

    @Override
    public String toString() {
        return name + ": " + declared();
    }
}
