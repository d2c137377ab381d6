// Cuts a box out of a frame and resizes it into the caller's memory.
//
//     frame ─► BoxRows ─► rows of the crop's width ─► one row of the crop ─► uint8, fp16 or fp32
//
// Columns are resampled first, each source row that is needed once; as many as a row of the crop needs are kept.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

#include "aligned.hpp"
#include "box_rows.hpp"
#include "crop_format.hpp"
#include "crop_kernels.hpp"
#include "crop_kernels_avx2.hpp"
#include "crop_kernels_avx512.hpp"
#include "crop_kernels_neon.hpp"
#include "frame.hpp"
#include "resampling.hpp"
#include "stretching.hpp"

namespace reidkit {

template <class Row>
struct TapKernels {
    decltype(&reidkit::sum_columns<Row>) sum_columns;
    decltype(&reidkit::sum_rows<Row>) sum_rows;

    TapKernels(InstructionSet set)
        : sum_columns(compiled_for<&reidkit::sum_columns<Row>>(set)),
          sum_rows(compiled_for<&reidkit::sum_rows<Row>>(set)) {}
};

// The kernels of one instruction set.
struct CropKernels {
    BoxRows::Kernels box_rows;
    decltype(&reidkit::blend_to_bytes) blend_to_bytes;
    decltype(&reidkit::blend_to_floats) blend_to_floats;
    decltype(&reidkit::blend_to_halves<&reidkit::floats_to_halves>) blend_to_halves;
    decltype(&reidkit::bytes_to_floats) bytes_to_floats;
    decltype(&reidkit::floats_to_halves) floats_to_halves;
    std::tuple<TapKernels<uint8_t>, TapKernels<int16_t>> taps;
    void (*fence)() = nullptr;  // after stores past the caches, which a release does not order

    explicit CropKernels(InstructionSet set)
        : box_rows(set),
          blend_to_bytes(compiled_for<&reidkit::blend_to_bytes>(set)),
          blend_to_floats(compiled_for<&reidkit::blend_to_floats>(set)),
          blend_to_halves(compiled_for<&reidkit::blend_to_halves<&reidkit::floats_to_halves>>(set)),
          bytes_to_floats(compiled_for<&reidkit::bytes_to_floats>(set)),
          floats_to_halves(compiled_for<&reidkit::floats_to_halves>(set)),
          taps(set, set) {
#ifdef __x86_64__
        if (set == InstructionSet::avx2) {
            blend_to_halves = &Compiled<&reidkit::blend_to_halves<&floats_to_halves_avx2>>::avx2;
            floats_to_halves = &floats_to_halves_avx2;
        }
        if (set == InstructionSet::avx512) {
            blend_to_bytes = &blend_to_bytes_avx512;
            blend_to_floats = &blend_to_floats_avx512;
            blend_to_halves = &blend_to_halves_avx512;
            fence = &fence_avx512;
            floats_to_halves = &floats_to_halves_avx512;
        }
#endif
#ifdef __aarch64__
        if (set == InstructionSet::neon) {
            blend_to_bytes = &blend_to_bytes_neon;
            blend_to_floats = &blend_to_floats_neon;
            blend_to_halves = &reidkit::blend_to_halves<&floats_to_halves_neon>;
            floats_to_halves = &floats_to_halves_neon;
        }
#endif
    }
};

// Keeps its work space from crop to crop, so that it allocates only for the first ones and for ever larger boxes.
// One thread at a time.
class CropCutter {
  public:
    explicit CropCutter(InstructionSet set) : kernels_(set), stretcher_(set), row_pairs_(set) {}

    // Writes format.values() values: bytes, or floats normalised. The box lies in the frame and is not empty.
    //
    // With Filter::bilinear bytes are rounded to the nearest level and floats are not; the other filters give whole
    // levels to both.
    template <class Value>
    void cut(const Frame& frame, const Box& box, const CropFormat& format, Value* out) {
        static_assert(std::is_same_v<Value, uint8_t> || std::is_same_v<Value, Half> || std::is_same_v<Value, float>);
        const Inset inset = Inset::of(box.height(), box.width(), format);
        if (inset.height < format.height || inset.width < format.width) pad(format, out);
        const CropRows<Value> rows(format, inset, out);
        if (format.filter == Filter::bilinear) {
            cut_bilinear(frame, box, format, inset, rows);
            if (kernels_.fence != nullptr) kernels_.fence();
        } else if (is_antialiased(format.filter)) {
            cut_by_taps<uint8_t>(frame, box, format, inset, rows);
        } else {
            cut_by_taps<int16_t>(frame, box, format, inset, rows);
        }
    }

  private:
    template <class Value>
    void cut_bilinear(const Frame& frame, const Box& box, const CropFormat& format, const Inset& inset,
                      const CropRows<Value>& out) {
        row_pairs_.plan(box.height(), inset.height);
        stretcher_.plan(box.width(), inset.width, format.planar, format.swap_colors);
        if constexpr (!std::is_same_v<Value, uint8_t>) levels_.plan(format, inset.width, 1.0F / 256, 128);
        BoxRows source(frame, box, stretcher_.readable(), 2 * rows_at_once, kernels_.box_rows, source_rows_);

        // Row y of the box, stretched: those that rows_at_once rows of the crop are made of have places of their own.
        const ptrdiff_t row_size = stretcher_.row_size();
        const int places = std::bit_ceil(static_cast<unsigned>(row_pairs_.span(rows_at_once)));
        stretched_.resize(places * static_cast<size_t>(row_size));
        const auto stretched = [row_size, last = places - 1, all = stretched_.data()](int y) {
            return all + (y & last) * row_size;
        };
        RowPair pairs[rows_at_once];
        RowToStretch fresh[2 * rows_at_once];
        int newest = -1;
        for (int top = 0; top < inset.height; top += rows_at_once) {
            const int rows = std::min(rows_at_once, inset.height - top);
            source.reach(row_pairs_.seconds[top + rows - 1]);
            int count = 0;
            for (int row = 0; row < rows; ++row) {
                const int first = row_pairs_.firsts[top + row], second = row_pairs_.seconds[top + row];
                for (const int y : {first, second}) {
                    if (y <= newest) continue;
                    fresh[count++] = {source(y), stretched(y)};
                    newest = y;
                }
                pairs[row] = {stretched(first), stretched(second), row_pairs_.first_weights[top + row],
                              row_pairs_.second_weights[top + row]};
            }
            stretcher_(fresh, count);
            const CropLayout layout{rows, out.parts, out.part_size, stretcher_.pitch(), out.apart, out.rows_apart};
            blend(pairs, layout, out.part(top, 0));
        }
    }

    // A few rows of the crop.
    void blend(const RowPair* pairs, const CropLayout& layout, uint8_t* out) {
        kernels_.blend_to_bytes(pairs, layout, out);
    }
    void blend(const RowPair* pairs, const CropLayout& layout, Half* out) {
        kernels_.blend_to_halves(pairs, layout, levels_.of_row(), out);
    }
    void blend(const RowPair* pairs, const CropLayout& layout, float* out) {
        kernels_.blend_to_floats(pairs, layout, levels_.of_row(), out);
    }

    template <class Row, class Value>
    void cut_by_taps(const Frame& frame, const Box& box, const CropFormat& format, const Inset& inset,
                     const CropRows<Value>& out) {
        const auto& taps = std::get<TapKernels<Row>>(kernels_.taps);
        row_taps_.plan(format.filter, box.height(), inset.height, tap_weight_bits<Row>);
        column_taps_.plan(format.filter, box.width(), inset.width, tap_weight_bits<Row>);
        if constexpr (!std::is_same_v<Value, uint8_t>) levels_.plan(format, inset.width, 1, 0);
        BoxRows source(frame, box, 3 * box.width() + 1, 1, kernels_.box_rows, source_rows_);

        const int held = row_taps_.count, row_values = 3 * inset.width;
        const size_t row_size = (row_values + summed_at_once - 1) / summed_at_once * summed_at_once;
        auto& ring = std::get<Aligned<Row>>(rings_);
        ring.resize(held * row_size);
        bytes_.resize(row_size);
        int next = 0;  // source row to be summed
        for (int y = 0; y < inset.height; ++y) {
            const int first = row_taps_.firsts[y];
            for (next = std::max(next, first); next < first + held; ++next) {
                source.reach(next);
                taps.sum_columns(source(next), column_taps_.firsts.data(), column_taps_.weights.data(),
                                 column_taps_.count, inset.width,
                                 channels_of(format, inset.width, ring.data() + next % held * row_size));
            }
            taps.sum_rows(ring.data(), row_size, first % held, row_taps_.weights_of(y), held, row_values,
                          bytes_.data());
            for (int part = 0; part < out.parts; ++part) {
                const ptrdiff_t from = part * static_cast<ptrdiff_t>(out.part_size);
                Value* const to = out.part(y, part);
                if constexpr (std::is_same_v<Value, uint8_t>) {
                    std::copy_n(bytes_.data() + from, out.part_size, to);
                } else {
                    finish(to, out.part_size, [&](float* floats) {
                        kernels_.bytes_to_floats(bytes_.data() + from, levels_.scale.data() + from,
                                                 levels_.bias.data() + from, out.part_size, floats);
                    });
                }
            }
        }
    }

    // Floats where they belong; halves by way of floats.
    template <class Write>
    void finish(float* out, int, Write write) {
        write(out);
    }
    template <class Write>
    void finish(Half* out, int count, Write write) {
        floats_.resize(count);
        write(floats_.data());
        kernels_.floats_to_halves(floats_.data(), count, out);
    }

    template <class Value>
    void pad(const CropFormat& format, Value* out) {
        std::array<Value, 3> padding;
        for (int channel = 0; channel < 3; ++channel) {
            const uint8_t level = format.padding[channel];
            if constexpr (std::is_same_v<Value, uint8_t>) {
                padding[channel] = level;
            } else {
                const float value = static_cast<float>(level) * format.gain[channel] + format.offset[channel];
                finish(&padding[channel], 1, [value](float* floats) { *floats = value; });
            }
        }
        const size_t pixels = static_cast<size_t>(format.height) * format.width;
        if (format.planar) {
            for (const Value value : padding) out = std::fill_n(out, pixels, value);
        } else {
            for (size_t i = 0; i < pixels; ++i) out = std::copy(padding.begin(), padding.end(), out);
        }
    }

    // Where the frame's channels go in a row of work space, which has the layout and the colours of the crop.
    template <class Row>
    static Channels<Row> channels_of(const CropFormat& format, int width, Row* row) {
        const ptrdiff_t apart = format.planar ? width : 1, step = format.planar ? 1 : 3;
        if (format.swap_colors) return {row + 2 * apart, row + apart, row, step};
        return {row, row + apart, row + 2 * apart, step};
    }

    // What makes a row's values floats: value * scale + bias, sample by sample.
    struct Levels {
        Aligned<float> scale, bias;

        RowLevels of_row() const { return {scale.data(), bias.data()}; }

        // A value of work space is `unit` levels, more than `zero`.
        void plan(const CropFormat& format, int width, float unit, float zero) {
            const Key key{format.gain, format.offset, format.planar, width, unit};
            if (key == planned_) return;
            planned_ = key;
            scale.resize(3 * static_cast<size_t>(width));
            bias.resize(scale.size());
            for (int i = 0; i < 3 * width; ++i) {
                const int channel = format.planar ? i / width : i % 3;
                scale[i] = unit * format.gain[channel];
                bias[i] = zero * format.gain[channel] + format.offset[channel];
            }
        }

      private:
        using Key = std::tuple<std::array<float, 3>, std::array<float, 3>, bool, int, float>;
        Key planned_{};
    };

    // Rows of the crop that are stretched, then blended, at a time: a tenth faster than one by one.
    static constexpr int rows_at_once = 8;

    const CropKernels kernels_;
    RowStretcher stretcher_;
    Pairs row_pairs_;
    Levels levels_;
    Taps row_taps_, column_taps_;
    std::vector<uint8_t> source_rows_;
    Aligned<int16_t> stretched_;
    std::tuple<Aligned<uint8_t>, Aligned<int16_t>> rings_;
    Aligned<uint8_t> bytes_;
    Aligned<float> floats_;
};

}  // namespace reidkit
