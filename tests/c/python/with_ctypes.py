"""with_ctypes.py LIBRARY WEIGHT_FILE: does what examples/score_one_file.c does, through ctypes.

Calls the exported twins of the header's inline functions. Structs that only pass through are bytes of the right size.
"""

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_char, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p

SCORED = 1
ALL_FILLED = c_size_t(-1).value


class Text(Structure):
    _fields_ = [("text", ctypes.c_char_p), ("len_bytes", c_size_t)]


class Error(Structure):
    _fields_ = [("size_bytes", c_size_t), ("status", c_int32), ("owner", c_uint32), ("message", c_char * 1024)]


class Slot(Structure):
    _fields_ = [("row_type", c_uint32), ("index", c_uint32), ("kind", c_uint32), ("many", c_uint32)]


class Row(Structure):
    _fields_ = [("request", c_void_p), ("offset_bytes", c_uint32), ("row_type", c_uint32)]


class LayoutInfo(Structure):
    _fields_ = [(f"size_{index}", c_size_t) for index in range(11)] + [(f"number_{index}", c_uint32) for index in range(4)]


class Request(Structure):
    _fields_ = [("block", c_void_p), ("layout", LayoutInfo), ("owns_block", c_uint32), ("reserved", c_uint32)]


class Answer(Structure):
    _fields_ = [("logit", c_double), ("probability", c_float), ("status", c_uint32)]


def text(value):
    encoded = value.encode()
    return Text(encoded, len(encoded))


library = ctypes.CDLL(sys.argv[1])
library.omomi_model_open.argtypes = [Text, c_void_p, POINTER(c_void_p), POINTER(Error)]
library.omomi_scorer_of_model.argtypes = [c_void_p, c_size_t, POINTER(c_void_p), POINTER(Error)]
library.omomi_request_of_scorer.argtypes = [c_void_p, POINTER(Request), POINTER(Error)]
library.omomi_scorer_slot.argtypes = [c_void_p, Text, POINTER(Slot), POINTER(Error)]
library.omomi_context_row.argtypes, library.omomi_context_row.restype = [POINTER(Request)], Row
library.omomi_candidate_row.argtypes, library.omomi_candidate_row.restype = [POINTER(Request), c_size_t], Row
library.omomi_set_id.argtypes = [Row, Slot, c_int64]
library.omomi_set_text.argtypes = [Row, Slot, Text]
library.omomi_set_texts.argtypes = [Row, Slot, POINTER(Text), c_size_t]
library.omomi_set_number.argtypes = [Row, Slot, c_double]
library.omomi_request_predict.argtypes = [c_void_p, POINTER(Request), c_size_t, POINTER(Error)]
library.omomi_request_answer.argtypes, library.omomi_request_answer.restype = [POINTER(Request), c_size_t], Answer
library.omomi_request_close.argtypes, library.omomi_request_close.restype = [POINTER(Request)], None
library.omomi_scorer_close.argtypes, library.omomi_scorer_close.restype = [c_void_p], None
library.omomi_model_close.argtypes, library.omomi_model_close.restype = [c_void_p], None
library.omomi_version.restype = ctypes.c_char_p

error = Error(ctypes.sizeof(Error))


def check(status):
    if status != 0:
        sys.exit(error.message.decode())


def slot(name):
    found = Slot()
    check(library.omomi_scorer_slot(scorer, text(name), byref(found), byref(error)))
    return found


model, scorer, request = c_void_p(), c_void_p(), Request()
check(library.omomi_model_open(text(sys.argv[2]), None, byref(model), byref(error)))
check(library.omomi_scorer_of_model(model, 500, byref(scorer), byref(error)))
check(library.omomi_request_of_scorer(scorer, byref(request), byref(error)))
context = library.omomi_context_row(byref(request))
interests = (Text * 2)(text("旅行"), text("料理"))
library.omomi_set_id(context, slot("site_id"), 7)
library.omomi_set_text(context, slot("region"), text("東京都"))
library.omomi_set_texts(context, slot("interest"), interests, 2)
library.omomi_set_number(context, slot("floor_price"), 50.0)
creatives = [1624, 2519, 4001]
for index, creative in enumerate(creatives):
    library.omomi_set_id(library.omomi_candidate_row(byref(request), index), slot("creative_id"), creative)
check(library.omomi_request_predict(scorer, byref(request), ALL_FILLED, byref(error)))
for index, creative in enumerate(creatives):
    answer = library.omomi_request_answer(byref(request), index)
    if answer.status == SCORED:
        print(f"creative {creative}: probability {answer.probability:.4f}")
library.omomi_request_close(byref(request))
library.omomi_scorer_close(scorer)
library.omomi_model_close(model)
