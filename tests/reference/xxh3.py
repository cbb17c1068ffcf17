"""XXH3-64 with seed 0 and the default secret, in plain Python."""

import struct

MASK_32 = 0xFFFFFFFF
MASK_64 = 0xFFFFFFFFFFFFFFFF

PRIME_32_1 = 0x9E3779B1
PRIME_32_2 = 0x85EBCA77
PRIME_32_3 = 0xC2B2AE3D
PRIME_64_1 = 0x9E3779B185EBCA87
PRIME_64_2 = 0xC2B2AE3D27D4EB4F
PRIME_64_3 = 0x165667B19E3779F9
PRIME_64_4 = 0x85EBCA77C2B2AE63
PRIME_64_5 = 0x27D4EB2F165667C5
PRIME_MX_1 = 0x165667919E3779F9
PRIME_MX_2 = 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)

STRIPE_LEN = 64
STRIPES_PER_BLOCK = 16
BLOCK_LEN = STRIPE_LEN * STRIPES_PER_BLOCK
LAST_SECRET = 192 - STRIPE_LEN


def xxh3_64(data):
    """XXH3-64 of `data`, an int below 2**64."""
    length = len(data)
    if length == 0:
        return _avalanche_64(_u64(SECRET, 56) ^ _u64(SECRET, 64))
    if length <= 3:
        return _hash_1_to_3(data)
    if length <= 8:
        return _hash_4_to_8(data)
    if length <= 16:
        return _hash_9_to_16(data)
    if length <= 128:
        return _hash_17_to_128(data)
    if length <= 240:
        return _hash_129_to_240(data)
    return _hash_long(data)


def _hash_1_to_3(data):
    length = len(data)
    combined = data[0] << 16 | data[length >> 1] << 24 | data[-1] | length << 8
    return _avalanche_64(combined ^ _u32(SECRET, 0) ^ _u32(SECRET, 4))


def _hash_4_to_8(data):
    length = len(data)
    mixed = (_u32(data, length - 4) + (_u32(data, 0) << 32)) ^ _u64(SECRET, 8) ^ _u64(SECRET, 16)
    mixed ^= _rotate_left(mixed, 49) ^ _rotate_left(mixed, 24)
    mixed = mixed * PRIME_MX_2 & MASK_64
    mixed ^= (mixed >> 35) + length
    mixed = mixed * PRIME_MX_2 & MASK_64
    return mixed ^ mixed >> 28


def _hash_9_to_16(data):
    length = len(data)
    low = _u64(data, 0) ^ _u64(SECRET, 24) ^ _u64(SECRET, 32)
    high = _u64(data, length - 8) ^ _u64(SECRET, 40) ^ _u64(SECRET, 48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return _avalanche(length + swapped + high + _folded_product(low, high))


def _hash_17_to_128(data):
    length = len(data)
    sum_ = length * PRIME_64_1
    for pair in range((length - 1) // 32 + 1):
        sum_ += _mix_16(data, 16 * pair, 32 * pair)
        sum_ += _mix_16(data, length - 16 * (pair + 1), 32 * pair + 16)
    return _avalanche(sum_)


def _hash_129_to_240(data):
    length = len(data)
    sum_ = length * PRIME_64_1
    for part in range(8):
        sum_ += _mix_16(data, 16 * part, 16 * part)
    sum_ = _avalanche(sum_)
    for part in range(8, length // 16):
        sum_ += _mix_16(data, 16 * part, 16 * (part - 8) + 3)
    sum_ += _mix_16(data, length - 16, 136 - 17)
    return _avalanche(sum_)


def _hash_long(data):
    length = len(data)
    lanes = [
        PRIME_32_3, PRIME_64_1, PRIME_64_2, PRIME_64_3,
        PRIME_64_4, PRIME_32_2, PRIME_64_5, PRIME_32_1,
    ]
    block_count, rest = divmod(length - 1, BLOCK_LEN)
    for block in range(block_count):
        for stripe in range(STRIPES_PER_BLOCK):
            _accumulate(lanes, data, block * BLOCK_LEN + stripe * STRIPE_LEN, 8 * stripe)
        for lane in range(8):
            value = lanes[lane] ^ lanes[lane] >> 47 ^ _u64(SECRET, LAST_SECRET + 8 * lane)
            lanes[lane] = value * PRIME_32_1 & MASK_64
    for stripe in range(rest // STRIPE_LEN):
        _accumulate(lanes, data, block_count * BLOCK_LEN + stripe * STRIPE_LEN, 8 * stripe)
    _accumulate(lanes, data, length - STRIPE_LEN, LAST_SECRET - 7)
    sum_ = length * PRIME_64_1
    for pair in range(4):
        secret = 11 + 16 * pair
        sum_ += _folded_product(
            lanes[2 * pair] ^ _u64(SECRET, secret), lanes[2 * pair + 1] ^ _u64(SECRET, secret + 8)
        )
    return _avalanche(sum_)


def _accumulate(lanes, data, offset, secret):
    for lane in range(8):
        value = _u64(data, offset + 8 * lane)
        keyed = value ^ _u64(SECRET, secret + 8 * lane)
        lanes[lane ^ 1] = (lanes[lane ^ 1] + value) & MASK_64
        lanes[lane] = (lanes[lane] + (keyed & MASK_32) * (keyed >> 32)) & MASK_64


def _mix_16(data, offset, secret):
    return _folded_product(
        _u64(data, offset) ^ _u64(SECRET, secret), _u64(data, offset + 8) ^ _u64(SECRET, secret + 8)
    )


def _folded_product(one, other):
    product = one * other
    return product & MASK_64 ^ product >> 64


def _avalanche(value):
    value &= MASK_64
    value ^= value >> 37
    value = value * PRIME_MX_1 & MASK_64
    return value ^ value >> 32


def _avalanche_64(value):
    value ^= value >> 33
    value = value * PRIME_64_2 & MASK_64
    value ^= value >> 29
    value = value * PRIME_64_3 & MASK_64
    return value ^ value >> 32


def _rotate_left(value, count):
    return (value << count | value >> (64 - count)) & MASK_64


def _u32(data, offset):
    return struct.unpack_from("<I", data, offset)[0]


def _u64(data, offset):
    return struct.unpack_from("<Q", data, offset)[0]
