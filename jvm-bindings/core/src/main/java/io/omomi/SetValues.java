package io.omomi;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the values that were set in a request, as texts for people. Allocates. */
final class SetValues {
    /** A longer list ends with the number of the other values. */
    private static final int SHOWN_VALUES = 16;

    private final Request request;
    private final Map<String, String> values = new LinkedHashMap<>();

    private SetValues(Request request) {
        this.request = request;
    }

    /**
     * Returns the values of the context and of one candidate by the names of their fields, in the order of the
     * declaration. A prepared candidate has no values here: it was set in its candidate set. Needs a sealed request.
     */
    static Map<String, String> of(Request request, int candidate) {
        SetValues found = new SetValues(request);
        RequestLayout layout = request.layout;
        found.add(Side.CONTEXT, layout.contextOffset);
        if (!layout.isPrepared() && candidate >= 0 && candidate < layout.candidates()) {
            found.add(Side.CANDIDATE, layout.candidatesOffset + candidate * layout.candidateStride);
        }
        return Collections.unmodifiableMap(found.values);
    }

    private void add(Side side, int row) {
        ByteBuffer block = request.block;
        long present = block.getLong(row + Block.ROW_PRESENT_OFFSET);
        long inlineText = block.getLong(row + Block.ROW_INLINE_TEXT_OFFSET);
        for (Field field : request.schema.fields()) {
            if (field.side() == side && (present & field.bit) != 0) {
                long slot = block.getLong(row + field.slotWord * Block.SLOT_LEN);
                values.put(field.name(), text(field, slot, (inlineText & field.bit) != 0));
            }
        }
    }

    private String text(Field field, long slot, boolean isInlineText) {
        if (!field.isMany()) {
            return one(field.type(), slot, isInlineText);
        }
        int start = (int) slot;
        int count = Tail.count(slot);
        List<String> shown = new ArrayList<>();
        for (int i = 0; i < Math.min(count, SHOWN_VALUES); i++) {
            long value = request.block.getLong(request.layout.tailOffset + start + i * Block.SLOT_LEN);
            shown.add(one(field.type(), value, isInlineText));
        }
        if (count > SHOWN_VALUES) {
            shown.add("and " + (count - SHOWN_VALUES) + " more");
        }
        return shown.toString();
    }

    private String one(FieldType type, long value, boolean isInlineText) {
        switch (type) {
            case ID:
                return Long.toString(value);
            case NUMBER:
                return Double.toString(Double.longBitsToDouble(value));
            default:
                return isInlineText ? inTail(value) : "text value " + Long.toHexString(value);
        }
    }

    private String inTail(long reference) {
        byte[] bytes = new byte[Tail.count(reference)];
        int first = request.layout.tailOffset + (int) reference;
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = request.block.get(first + i);
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
