package io.omomi;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The server's declaration: the fields that it can supply, by name and type. Declared once, valid for every later
 * model. Immutable; threads may share it. {@link Scorer#open} refuses a model that needs something else, and names the
 * field.
 */
public final class Schema {
    private final List<Field> fields;
    private final Map<String, Field> byName;
    private final byte[] encoded;
    /** One object per side, type and many: see {@link #use}. */
    private final Object[] uses = new Object[Side.values().length * FieldType.values().length * 2];

    private Schema(List<Declared> declared) {
        Arrays.setAll(uses, index -> new Object());
        List<Field> all = new ArrayList<>();
        Map<String, Field> named = new HashMap<>();
        int[] slots = new int[Side.values().length];
        for (Declared one : declared) {
            Field field = new Field(this, slots[one.side.ordinal()]++, one);
            all.add(field);
            named.put(one.name, field);
        }
        fields = Collections.unmodifiableList(all);
        byName = named;
        encoded = encode(declared);
        // The native library checks the rules of a declaration, and throws SCHEMA_INVALID with the reason. If it cannot
        // be loaded, the calls that use the schema say why: see NativeLibrary.isLoaded.
        if (NativeLibrary.isLoaded()) {
            Native.checkSchema(encoded);
        }
    }

    /** Begins a declaration. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Returns the declaration of exactly the fields of a contract, those of the context first. For tools and tests. A
     * server should declare its fields itself ({@code omomi contract generate --java} prints the text): only then
     * does opening a scorer detect that the contract has changed.
     *
     * @param contract the contract as JSON, as {@link Model#contract} returns it
     * @throws OmomiException with {@link Code#INVALID_ARGUMENT} and the faults if it is no contract, or {@link
     *     Code#LIBRARY_NOT_LOADED}
     */
    public static Schema ofContract(String contract) {
        if (contract == null) {
            throw OmomiException.nullArgument("contract");
        }
        NativeLibrary.load();
        byte[] bytes = Native.contractSchema(Utf8.strict(contract, "the contract"));
        ByteBuffer rest = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        List<Declared> declared = new ArrayList<>();
        while (rest.hasRemaining()) {
            Side side = Side.values()[rest.get()];
            FieldType type = FieldType.values()[rest.get()];
            boolean many = rest.get() != 0;
            double rangeMin = rest.getDouble();
            double rangeMax = rest.getDouble();
            byte[] name = new byte[rest.getInt()];
            byte[] unit = new byte[rest.getInt()];
            rest.get(name).get(unit);
            declared.add(new Declared(
                    new String(name, StandardCharsets.UTF_8),
                    side,
                    type,
                    many,
                    new String(unit, StandardCharsets.UTF_8),
                    rangeMin,
                    rangeMax));
        }
        return new Schema(declared);
    }

    /**
     * Returns the field called {@code name}.
     *
     * @throws OmomiException with {@link Code#UNKNOWN_FIELD} if it is not declared
     */
    public Field field(String name) {
        if (name == null) {
            throw OmomiException.nullArgument("name");
        }
        Field field = byName.get(name);
        if (field == null) {
            throw new OmomiException(Code.UNKNOWN_FIELD, "the schema has no field `" + name + "`");
        }
        return field;
    }

    /** Returns all fields in the order of their declaration. */
    public List<Field> fields() {
        return fields;
    }

    /**
     * Returns an object that identifies side, type and many in this schema. Fields that the same setter accepts share
     * it.
     */
    Object use(Side side, FieldType type, boolean many) {
        return uses[(side.ordinal() * FieldType.values().length + type.ordinal()) * 2 + (many ? 1 : 0)];
    }

    /** Names the fields, for people. */
    @Override
    public String toString() {
        return "Schema" + fields;
    }

    /** Returns the declaration in the form that the native library reads: see {@code decode_schema} there. */
    byte[] encoded() {
        return encoded;
    }

    private static byte[] encode(List<Declared> declared) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (Declared one : declared) {
            byte[] name = Utf8.strict(one.name, "a field's name");
            byte[] unit = Utf8.strict(one.unit, "a field's unit");
            ByteBuffer head = ByteBuffer.allocate(3 + 2 * Double.BYTES + 2 * Integer.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            head.put((byte) one.side.ordinal()).put((byte) one.type.ordinal()).put((byte) (one.many ? 1 : 0));
            head.putDouble(one.rangeMin).putDouble(one.rangeMax).putInt(name.length).putInt(unit.length);
            bytes.write(head.array(), 0, head.capacity());
            bytes.write(name, 0, name.length);
            bytes.write(unit, 0, unit.length);
        }
        return bytes.toByteArray();
    }

    /** The declaration of one field in the builder. */
    static final class Declared {
        final String name;
        final Side side;
        final FieldType type;
        final boolean many;
        final String unit;
        final double rangeMin;
        final double rangeMax;

        Declared(String name, Side side, FieldType type, boolean many, String unit, double rangeMin, double rangeMax) {
            if (name == null) {
                throw OmomiException.nullArgument("name");
            }
            if (side == null) {
                throw OmomiException.nullArgument("side");
            }
            if (unit == null) {
                throw OmomiException.nullArgument("unit");
            }
            this.name = name;
            this.side = side;
            this.type = type;
            this.many = many;
            this.unit = unit;
            this.rangeMin = rangeMin;
            this.rangeMax = rangeMax;
        }
    }

    /** Collects the fields of a declaration. */
    public static final class Builder {
        private final List<Declared> declared = new ArrayList<>();
        private boolean isBuilt;

        private Builder() {}

        /** Adds a field of 64-bit integers. */
        public Builder id(String name, Side side) {
            return add(name, side, FieldType.ID, false);
        }

        /** Adds a field with zero or more 64-bit integers per row. */
        public Builder ids(String name, Side side) {
            return add(name, side, FieldType.ID, true);
        }

        /** Adds a field of texts. */
        public Builder text(String name, Side side) {
            return add(name, side, FieldType.TEXT, false);
        }

        /** Adds a field with zero or more texts per row. */
        public Builder texts(String name, Side side) {
            return add(name, side, FieldType.TEXT, true);
        }

        /** Adds a field of numbers in {@code unit}, from {@code rangeMin} to {@code rangeMax}. */
        public Builder number(String name, Side side, String unit, double rangeMin, double rangeMax) {
            return add(new Declared(name, side, FieldType.NUMBER, false, unit, rangeMin, rangeMax));
        }

        /**
         * Completes the declaration, to which no field can be added afterwards. Succeeds without a native library too,
         * so that it may be in a static field; whatever uses the schema then throws {@link Code#LIBRARY_NOT_LOADED}.
         *
         * @throws OmomiException with {@link Code#SCHEMA_INVALID} for an empty or duplicate name, more than 64 fields
         *     on a side, or a range that is not two finite numbers with the lower one first
         */
        public Schema build() {
            Schema schema = new Schema(declared);
            isBuilt = true;
            return schema;
        }

        private Builder add(String name, Side side, FieldType type, boolean many) {
            return add(new Declared(name, side, type, many, "", 0, 0));
        }

        private Builder add(Declared one) {
            if (isBuilt) {
                throw new OmomiException(
                        Code.SCHEMA_INVALID,
                        "field `" + one.name + "` is declared after its schema was built, so no request has it: declare all"
                                + " fields before the first layout is made; in Scala, as a val, not as a lazy val or in a"
                                + " nested object");
            }
            declared.add(one);
            return this;
        }
    }
}
