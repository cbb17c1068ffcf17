package io.omomi;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * What a server did with a candidate: the value that a {@link LogRing} records next. It is reused from request to
 * request, like the ring's scorer belongs to one thread, and allocates nothing. Clear it for each request, and set what
 * applies: all but the request id has a default.
 *
 * <pre>{@code
 * ring.served().clear().requestId(id).bid(1_500_000, "JPY", Basis.THOUSAND_IMPRESSIONS).latencyNanos(nanos);
 * ring.record(candidate);
 * }</pre>
 *
 * <p>Setters refuse only what no caller can mean, such as a negative position. What depends on a request, such as the
 * length of its id, is checked by {@link LogRing#record}, which counts what it refuses.
 */
public final class Served {
    private static final int NOT_GIVEN = -1;

    final ByteBuffer block;
    final long address;

    private final LogRing ring;
    /** A text on its way to the block. */
    private final byte[] bytes = new byte[ServedBlock.MAX_REQUEST_ID_LEN_BYTES * Utf8.MAX_BYTES_PER_CHAR];

    Served(LogRing ring) {
        this.ring = ring;
        this.block = ByteBuffer.allocateDirect(ServedBlock.LEN).order(ByteOrder.LITTLE_ENDIAN);
        this.address = Native.address(block);
        reset();
    }

    /**
     * Makes this a value of the model, of which nothing else is known. Call it before each request.
     *
     * @throws OmomiException with {@link Code#CLOSED} or {@link Code#SCORER_BUSY}, like every method here
     */
    public Served clear() {
        ring.checkOwner();
        reset();
        return this;
    }

    private void reset() {
        block.putLong(ServedBlock.AT_UNIX_MS_OFFSET, 0);
        block.putLong(ServedBlock.LATENCY_NS_OFFSET, 0);
        block.putDouble(ServedBlock.PROPENSITY_OFFSET, 0);
        block.putInt(ServedBlock.POSITION_OFFSET, NOT_GIVEN);
        block.putInt(ServedBlock.BUCKET_OFFSET, NOT_GIVEN);
        block.putFloat(ServedBlock.OWN_PROBABILITY_OFFSET, 0);
        block.putInt(ServedBlock.MODEL_OFFSET, 0);
        block.putInt(ServedBlock.SOURCE_OFFSET, Source.MODEL.number());
        block.putInt(ServedBlock.BASIS_OFFSET, 0);
        for (int text = 0; text < 4; text++) {
            block.putInt(ServedBlock.TEXT_LENS_OFFSET + text * Integer.BYTES, 0);
        }
    }

    /**
     * Sets the id of the request: 1 to 128 bytes of UTF-8. With impression and candidate, it makes the prediction id.
     */
    public Served requestId(CharSequence requestId) {
        return text(0, ServedBlock.REQUEST_ID_OFFSET, ServedBlock.MAX_REQUEST_ID_LEN_BYTES, requestId, "requestId");
    }

    /**
     * Sets which impression of the request this is for, such as OpenRTB's {@code imp.id}, at most 64 bytes of UTF-8.
     * Empty, the default, if there is only one.
     */
    public Served impression(CharSequence impression) {
        return text(1, ServedBlock.IMPRESSION_OFFSET, ServedBlock.MAX_IMPRESSION_LEN_BYTES, impression, "impression");
    }

    /**
     * Sets the name of the experiment, at most 64 bytes of UTF-8. None by default. The ring of an {@link
     * ExperimentScorer} fills in experiment, arm and bucket itself, and ignores those that are set here.
     */
    public Served experiment(CharSequence experiment) {
        return text(2, ServedBlock.EXPERIMENT_OFFSET, ServedBlock.MAX_LABEL_LEN_BYTES, experiment, "experiment");
    }

    /** Sets the name of the experiment's arm, at most 64 bytes of UTF-8. */
    public Served arm(CharSequence arm) {
        return text(3, ServedBlock.ARM_OFFSET, ServedBlock.MAX_LABEL_LEN_BYTES, arm, "arm");
    }

    /** Sets the user's bucket in the experiment, from 0. */
    public Served bucket(int bucket) {
        return count(ServedBlock.BUCKET_OFFSET, bucket, "bucket");
    }

    /** Sets the position at which the candidate was shown, from 0. */
    public Served position(int position) {
        return count(ServedBlock.POSITION_OFFSET, position, "position");
    }

    /** Sets which of the scorer's models answered, from 0: the first by default. */
    public Served model(int model) {
        return count(ServedBlock.MODEL_OFFSET, model, "model");
    }

    /** Sets when it was served, in Unix milliseconds, UTC. 0, the default, is now. */
    public Served atUnixMillis(long atUnixMillis) {
        ring.checkOwner();
        block.putLong(ServedBlock.AT_UNIX_MS_OFFSET, atUnixMillis);
        return this;
    }

    /** Sets how long the predict call took. 0, the default, if it was not measured. */
    public Served latencyNanos(long latencyNanos) {
        ring.checkOwner();
        block.putLong(ServedBlock.LATENCY_NS_OFFSET, Math.max(0, latencyNanos));
        return this;
    }

    /** Sets the probability with which the server's policy chose this candidate, in (0, 1]. */
    public Served propensity(double propensity) {
        ring.checkOwner();
        // 0 is how the block says that there is none.
        block.putDouble(ServedBlock.PROPENSITY_OFFSET, propensity == 0 ? Double.NaN : propensity);
        return this;
    }

    /** Sets the propensity of a choice, if it has one. */
    public Served choice(Choice choice) {
        if (choice == null) {
            throw OmomiException.nullArgument("choice");
        }
        ring.checkOwner();
        block.putDouble(ServedBlock.PROPENSITY_OFFSET, choice.hasPropensity() ? choice.propensity() : 0);
        return this;
    }

    /**
     * Sets what was bid: {@code micros} millionths of the unit of {@code currency}, so 1,500,000 is 1.50 dollars. The
     * currency has three capital letters of ISO 4217, such as JPY.
     */
    public Served bid(long micros, String currency, Basis basis) {
        if (basis == null) {
            throw OmomiException.nullArgument("basis");
        }
        ring.checkOwner();
        block.putInt(ServedBlock.CURRENCY_OFFSET, letters(currency));
        block.putLong(ServedBlock.BID_MICROS_OFFSET, micros);
        block.putInt(ServedBlock.BASIS_OFFSET, basis.number());
        return this;
    }

    /** Sets where the value is from: the model by default. */
    public Served source(Source source) {
        if (source == null) {
            throw OmomiException.nullArgument("source");
        }
        ring.checkOwner();
        block.putInt(ServedBlock.SOURCE_OFFSET, source.number());
        return this;
    }

    /** Sets the server's own probability, in (0, 1), if neither the model nor a fallback file gave one. */
    public Served ownProbability(float probability) {
        ring.checkOwner();
        // 0 is how the block says that there is none.
        block.putFloat(ServedBlock.OWN_PROBABILITY_OFFSET, probability == 0 ? Float.NaN : probability);
        return this;
    }

    /**
     * Writes the 16 bytes of a candidate's {@link PredictionId}, for the request id and the impression set here, to
     * {@code into}, from index {@code first} on.
     *
     * @throws OmomiException with {@link Code#RECORD_INVALID} like {@link PredictionId#of}, and {@link
     *     Code#INVALID_ARGUMENT} if the array is too short
     */
    public void putPredictionId(int candidate, byte[] into, int first) {
        if (into == null) {
            throw OmomiException.nullArgument("into");
        }
        if (first < 0 || first > into.length - PredictionId.LEN_BYTES) {
            throw OmomiException.invalidArgument(
                    "first",
                    "expected an index with " + PredictionId.LEN_BYTES + " bytes from there on in an array of "
                            + into.length + ", found " + first);
        }
        ring.checkOwner();
        Native.putPredictionId(block, address, candidate);
        for (int i = 0; i < PredictionId.LEN_BYTES; i++) {
            into[first + i] = block.get(ServedBlock.PREDICTION_ID_OFFSET + i);
        }
    }

    /** Packs a currency's letters. Returns 0, which is refused, if they are no three capital letters. */
    static int letters(String currency) {
        if (currency == null) {
            throw OmomiException.nullArgument("currency");
        }
        int letters = 0;
        for (int i = 0; i < currency.length(); i++) {
            char c = currency.charAt(i);
            if (i == 3 || c < 'A' || c > 'Z') {
                return 0;
            }
            letters |= c << i * Byte.SIZE;
        }
        return letters;
    }

    private Served count(int offset, int number, String argument) {
        if (number < 0) {
            throw OmomiException.invalidArgument(argument, "expected 0 or more, found " + number);
        }
        ring.checkOwner();
        block.putInt(offset, number);
        return this;
    }

    private Served text(int index, int offset, int room, CharSequence text, String argument) {
        if (text == null) {
            throw OmomiException.nullArgument(argument);
        }
        ring.checkOwner();
        int len = Utf8.put(text, bytes, block, offset, room);
        block.putInt(ServedBlock.TEXT_LENS_OFFSET + index * Integer.BYTES, len);
        return this;
    }
}
