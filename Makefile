# Two commands for a newcomer:
#   make demo   set up, export a model, track people with it, score the result
#   make test   set up and pass the tests
# Each does all of its own set-up into .venv; PYTHON picks the interpreter (3.10 or later).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
MODEL ?= osnet_x0_25
ARTIFACT = demo/$(MODEL)-openvino-fp32
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: demo test check sanitize proof-ring proof-kernels proof-assignment proof-tracker proof-networks aarch64 bench targets-table clean

SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard runtime/native/*.cpp runtime/native/*.hpp)

$(VENV)/bin/activate:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"

# What the demonstration needs …
$(VENV)/installed: $(VENV)/bin/activate $(SOURCES)
	$(PIP) install --quiet --constraint constraints.txt --editable ".[export,openvino,video]"
	touch $@

# … and what development needs.
$(VENV)/equipped: $(VENV)/bin/activate $(SOURCES)
	$(PIP) install --quiet --constraint constraints.txt --group dev \
		--editable ".[export,timm,coreml,litert-export,ncnn-export,onnxruntime,openvino,tensorrt_rtx,tune,video]"
	$(PIP) install --quiet --no-deps trackeval==1.3.0
	touch $(VENV)/installed $@

# On a rendered street, or on your own: make demo VIDEO=shop.mp4 DETECTOR=yolox.onnx (or DETECTIONS=det.txt) WEIGHTS=…
ifdef VIDEO
ifeq ($(DETECTIONS)$(DETECTOR),)
$(error name a DETECTOR=network.onnx or DETECTIONS=det.txt for VIDEO=$(VIDEO))
endif
SEEN = --input "$(VIDEO)" $(if $(DETECTIONS),--detections "$(DETECTIONS)",--detector "$(DETECTOR)")
else
SEEN = --input demo/street --detections demo/street/det/det.txt
endif
TRACK = $(BIN)/reid-track $(SEEN) --tracker tuned.yaml
PICTURE = import sys, cv2; video = cv2.VideoCapture(sys.argv[1]); \
	video.set(cv2.CAP_PROP_POS_FRAMES, video.get(cv2.CAP_PROP_FRAME_COUNT) // 2); cv2.imwrite(sys.argv[2], video.read()[1])

demo: $(VENV)/installed
	$(BIN)/reid-export --model $(MODEL) $(if $(WEIGHTS),--weights $(WEIGHTS)) --target openvino --output demo
ifndef VIDEO
	rm -rf demo/street
	$(BIN)/reidkit street --output demo --name street
endif
	$(TRACK) --reid none --output demo/by-overlap-alone
	$(TRACK) --reid $(ARTIFACT) --output demo/with-appearance --draw
	@$(BIN)/python -c "$(PICTURE)" demo/with-appearance/annotated.mp4 demo/picture.jpg
ifndef VIDEO
	@echo
	@$(BIN)/reidkit eval --gt demo/street/gt/gt.txt \
		--tracks demo/by-overlap-alone/tracks.txt --tracks demo/with-appearance/tracks.txt
endif
	@echo; echo "To look at: demo/with-appearance/annotated.mp4, demo/picture.jpg"

test: $(VENV)/equipped
	$(BIN)/python -m pytest

check: $(VENV)/equipped
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.hpp')
	$(BIN)/mypy
	PYTHONPATH=.typing $(BIN)/lint-imports

sanitize: $(VENV)/equipped
	PATH="$(abspath $(BIN)):$$PATH" cmake --workflow --preset asan
	PATH="$(abspath $(BIN)):$$PATH" cmake --workflow --preset tsan

# The crop batcher's ring, at length: a minute of threads that stall and die under each sanitizer, then all scenarios of
# its model in 1,200,000 random schedules and in all with up to three switches. Needs Debian's relacy-dev; takes hours.
proof-ring: sanitize
	PATH="$(abspath $(BIN)):$$PATH" cmake --preset release
	PATH="$(abspath $(BIN)):$$PATH" cmake --build --preset release --target ring_model
	build/tsan/tests/native/ring_test 60
	build/asan/tests/native/ring_test 60
	build/release/tests/native/ring_model --random 6000 --mutants
	build/release/tests/native/ring_model --random 110000
	build/release/tests/native/ring_model --random 0 --bound 3

# The crop kernels, at length: NEON under qemu, then ten million crops that a fuzzer makes up.
proof-kernels: sanitize
	PATH="$(abspath $(BIN)):$$PATH" cmake --workflow --preset aarch64
	PATH="$(abspath $(BIN)):$$PATH" cmake --workflow --preset fuzz
	build/fuzz/tests/native/crops_fuzz -runs=10000000 -max_len=128 -print_final_stats=1

# 64-bit ARM under qemu, with the true wheels of the inference libraries. Needs Debian's g++-aarch64-linux-gnu; minutes.
aarch64: $(VENV)/equipped
	CALIBRATION=$(CALIBRATION) .ci/aarch64 $(BIN)

# Two million assignments beside SciPy's; half a minute.
proof-assignment: $(VENV)/equipped
	REIDKIT_PROOF=long $(BIN)/python -m pytest tests/parity/test_assignment_proof.py

# The tracker's cores at length: beside the slow reference and each other on generated and real sequences, fuzzed, and
# for 100,000 frames. Half an hour.
proof-tracker: $(VENV)/equipped
	REIDKIT_PROOF=long $(BIN)/python -m pytest tests/parity/test_botsort_reference.py tests/parity/test_botsort_cores.py \
		tests/property/test_botsort_fuzz.py tests/property/test_botsort_memory.py

# Networks at length: small ones of every family through every target, every listed one whole in int8 through
# TensorRT-RTX, int8 by retrieval, the files that must be refused.
proof-networks: $(VENV)/equipped
	REIDKIT_PROOF=long $(BIN)/python -m pytest tests/contract/test_networks.py tests/contract/test_tensorrt_int8.py \
		tests/parity/test_int8.py tests/parity/test_gates_bad_files.py

bench:
	bench/run

# Every listed network, whole, through every target that is here: docs/targets.md. Takes hours, and may be interrupted; what
# docs/targets.json has is not tried again. CROPS names a folder of real crops, which int8 needs.
targets-table: $(VENV)/equipped
	$(BIN)/reidkit targets $(if $(CROPS),--crops $(CROPS)) --measured docs/targets.json --table docs/targets.md

clean:
	rm -rf $(VENV) build dist
