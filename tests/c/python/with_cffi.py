"""with_cffi.py INCLUDE LIBRARY WEIGHT_FILE FOLDER: does what examples/score_one_file.c does, through cffi in API mode.

Compiles a module in FOLDER against the header, so the inline functions are inlined. `...` leaves layouts to the compiler.
"""

import importlib
import pathlib
import sys

import cffi

include, library, weight_file, folder = sys.argv[1:]
ffi = cffi.FFI()
ffi.cdef(
    """
    typedef struct OmomiModel OmomiModel;
    typedef struct OmomiScorer OmomiScorer;
    typedef int32_t OmomiStatus;
    typedef struct { const char *text; size_t len_bytes; } OmomiText;
    typedef struct { size_t size_bytes; OmomiStatus status; uint32_t owner; char message[...]; } OmomiError;
    typedef struct { ...; } OmomiRequest;
    typedef struct { ...; } OmomiRow;
    typedef struct { ...; } OmomiSlot;
    typedef struct { double logit; float probability; uint32_t status; } OmomiAnswer;
    typedef struct { ...; } OmomiOpenOptions;
    #define OMOMI_ALL_FILLED ...
    #define OMOMI_CANDIDATE_SCORED ...
    #define OMOMI_VERSION ...
    uint32_t omomi_version_number(void);
    OmomiText omomi_text_of(const char *text, size_t len_bytes);
    OmomiStatus omomi_model_open(OmomiText path, const OmomiOpenOptions *options, OmomiModel **out, OmomiError *error);
    void omomi_model_close(OmomiModel *model);
    OmomiStatus omomi_scorer_of_model(const OmomiModel *model, size_t capacity, OmomiScorer **out, OmomiError *error);
    OmomiStatus omomi_scorer_slot(const OmomiScorer *scorer, OmomiText name, OmomiSlot *out, OmomiError *error);
    void omomi_scorer_close(OmomiScorer *scorer);
    OmomiStatus omomi_request_of_scorer(const OmomiScorer *scorer, OmomiRequest *out, OmomiError *error);
    void omomi_request_close(OmomiRequest *request);
    OmomiRow omomi_context_row(OmomiRequest *request);
    OmomiRow omomi_candidate_row(OmomiRequest *request, size_t index);
    OmomiStatus omomi_set_id(OmomiRow row, OmomiSlot slot, int64_t id);
    OmomiStatus omomi_set_number(OmomiRow row, OmomiSlot slot, double number);
    OmomiStatus omomi_set_text(OmomiRow row, OmomiSlot slot, OmomiText text);
    OmomiStatus omomi_set_texts(OmomiRow row, OmomiSlot slot, const OmomiText *texts, size_t count);
    OmomiStatus omomi_request_predict(const OmomiScorer *scorer, OmomiRequest *request, size_t candidate_count,
                                      OmomiError *error);
    OmomiAnswer omomi_request_answer(const OmomiRequest *request, size_t index);
    """
)
ffi.set_source(
    "omomi_of_cffi",
    "#include <omomi.h>",
    include_dirs=[include],
    extra_objects=[library],
    extra_compile_args=["-O0"],
    extra_link_args=[f"-Wl,-rpath,{pathlib.Path(library).parent}"],
)
ffi.compile(tmpdir=folder)
sys.path.insert(0, folder)
module = importlib.import_module("omomi_of_cffi")
ffi, lib = module.ffi, module.lib
assert lib.omomi_version_number() == lib.OMOMI_VERSION

error = ffi.new("OmomiError *")
error.size_bytes = ffi.sizeof("OmomiError")
kept = []


def check(status):
    if status != 0:
        sys.exit(ffi.string(error.message).decode())


def text(value):
    encoded = value.encode()
    kept.append(ffi.new("char[]", encoded))
    return lib.omomi_text_of(kept[-1], len(encoded))


def slot(name):
    found = ffi.new("OmomiSlot *")
    check(lib.omomi_scorer_slot(scorer, text(name), found, error))
    return found[0]


out_model, out_scorer = ffi.new("OmomiModel **"), ffi.new("OmomiScorer **")
request = ffi.new("OmomiRequest *")
check(lib.omomi_model_open(text(weight_file), ffi.NULL, out_model, error))
model = out_model[0]
check(lib.omomi_scorer_of_model(model, 500, out_scorer, error))
scorer = out_scorer[0]
check(lib.omomi_request_of_scorer(scorer, request, error))
context = lib.omomi_context_row(request)
lib.omomi_set_id(context, slot("site_id"), 7)
lib.omomi_set_text(context, slot("region"), text("東京都"))
lib.omomi_set_texts(context, slot("interest"), ffi.new("OmomiText[]", [text("旅行"), text("料理")]), 2)
lib.omomi_set_number(context, slot("floor_price"), 50.0)
creatives = [1624, 2519, 4001]
for index, creative in enumerate(creatives):
    lib.omomi_set_id(lib.omomi_candidate_row(request, index), slot("creative_id"), creative)
check(lib.omomi_request_predict(scorer, request, lib.OMOMI_ALL_FILLED, error))
for index, creative in enumerate(creatives):
    answer = lib.omomi_request_answer(request, index)
    if answer.status == lib.OMOMI_CANDIDATE_SCORED:
        print(f"creative {creative}: probability {answer.probability:.4f}")
lib.omomi_request_close(request)
lib.omomi_scorer_close(scorer)
lib.omomi_model_close(model)
