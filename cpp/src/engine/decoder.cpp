#include "engine/decoder.hpp"

#include <vector>

#include "core/code_grid.hpp"

namespace embmath::engine {

namespace {

kernel::DecodeArgs arguments_of(const CodeGrid& grid) {
    const CodeFormat& format = grid.format;
    kernel::DecodeArgs args{};
    args.high = static_cast<float>(format.levels);
    if (format.is_symmetric) {
        args.low = -core::kSignedZero;  // codes made elsewhere may use it
    } else if (format.is_signed) {
        args.zero = core::kSignedZero;
    }
    if (grid.center && format.rounding != Rounding::nearest) {
        args.half_high = 0.5F;
        args.half_low = format.rounding == Rounding::truncate && format.is_signed ? -0.5F : 0.5F;
    }
    args.per_column = grid.scope == Scope::column;
    return args;
}

}  // namespace

Decoder::Decoder(const kernel::KernelTable& table, const Coding& coding, Dtype stored, std::int64_t n_cols, Dtype to)
    : table_(table),
      kind_(coding.kind),
      to_(to),
      n_cols_(static_cast<std::size_t>(n_cols)),
      dim_(static_cast<std::size_t>(coding.dim)),
      grid_(coding.grid),
      flip_(coding.flip),
      rotated_(coding.rotated),
      scale_(coding.scale),
      offset_(coding.offset) {
    if (kind_ == Coding::Kind::rotated) direction_ = padded<float>(rotated_.direction, static_cast<std::size_t>(rotated_.n_coords));
    if (kind_ != Coding::Kind::scalar) return;
    decode_ = (stored == Dtype::i8 ? table.decode_i8 : table.decode_u8)[static_cast<int>(to)];
    common_ = arguments_of(grid_);
    common_.n_cols = n_cols_;
    if (grid_.scope == Scope::row) return;
    const std::size_t n = grid_.scope == Scope::column ? dim_ : 1;
    steps_ = padded<double>(grid_.step, n);
    if (grid_.minimum != nullptr) {
        starts_ = padded<double>(grid_.minimum, n);
    } else if (grid_.scope == Scope::column) {
        starts_ = padded<double>(std::vector<float>(n).data(), n);
    }
}

void Decoder::decode(const void* codes, std::int64_t index, std::byte* scratch, void* out) const {
    switch (kind_) {
        case Coding::Kind::scalar: return decode_scalar(codes, index, scratch, out);
        case Coding::Kind::bits: return unflip(codes, out);
        case Coding::Kind::rotated: return decode_rotated(codes, index, static_cast<float*>(out));
        case Coding::Kind::signs: break;
    }
    table_.unpack_bits[static_cast<int>(to_)](static_cast<const std::uint8_t*>(codes), n_cols_, flip_, out);
}

void Decoder::decode_scalar(const void* codes, std::int64_t index, std::byte* scratch, void* out) const {
    if (n_cols_ == 0) return;
    kernel::DecodeArgs args = common_;
    args.codes = codes;
    args.out = out;
    args.start = starts_.data();
    args.step = steps_.data();
    double start, step;
    if (grid_.scope == Scope::row) {
        step = grid_.step[index];
        args.step = &step;
        if (grid_.minimum != nullptr) {
            start = grid_.minimum[index];
            args.start = &start;
        }
    }
    if (grid_.format.is_packed) {
        auto* unpacked = reinterpret_cast<std::uint8_t*>(scratch);
        table_.unpack_nibbles(static_cast<const std::uint8_t*>(codes), dim_, grid_.format.layout, unpacked);
        args.codes = unpacked;
    }
    decode_(args);
}

void Decoder::decode_rotated(const void* codes, std::int64_t index, float* out) const {
    const auto n_coded = static_cast<std::size_t>(rotated_.n_coded), n_coords = static_cast<std::size_t>(rotated_.n_coords);
    const float offset = offset_[index];
    table_.decode_rotated({static_cast<const std::uint8_t*>(codes), n_coded, rotated_.widths, rotated_.steps, direction_.data(),
                           scale_[index], offset, out});
    for (std::size_t j = n_coded; j < n_cols_; ++j) out[j] = j < n_coords ? offset * direction_[j] : 0.0F;
}

// The bits behind the last dimension count as 0, whatever the codes hold there.
void Decoder::unflip(const void* codes, void* out) const {
    const auto* from = static_cast<const std::uint8_t*>(codes);
    auto* to = static_cast<std::uint8_t*>(out);
    for (std::size_t i = 0; i < n_cols_; ++i) to[i] = from[i] ^ flip_;
    if (n_cols_ * 8 > dim_) to[n_cols_ - 1] &= static_cast<std::uint8_t>(0xff00u >> dim_ % 8);
}

bool Decoder::shares_grid(std::int64_t row, std::int64_t other) const {
    if (kind_ == Coding::Kind::rotated) return scale_[row] == scale_[other] && offset_[row] == offset_[other];
    if (kind_ != Coding::Kind::scalar || grid_.scope != Scope::row) return true;
    return grid_.step[row] == grid_.step[other] &&
           (grid_.minimum == nullptr || grid_.minimum[row] == grid_.minimum[other]);
}

}  // namespace embmath::engine
