// SPDX-License-Identifier: MIT
// One projection of a Hugging Face or MLX checkpoint as a CheckpointTensor: packed uint8, latent master
// weights, dense values that are ternary already, MLX words. Source: FORMATS.md B.2, B.3, B.4 (TriLM), B.7.
#pragma once

#include <memory>

#include "convert/checkpoint.h"
#include "convert/hf_shards.h"

namespace tern {

using SharedShards = std::shared_ptr<const HfShards>;

/// A tensor of plain numbers with any number of dimensions, in GGUF's orientation. Errors: kUnsupported for a
/// dtype that is no float.
Result<CheckpointTensor> dense_from(const SharedShards& shards, const SafetensorsTensor& tensor,
                                    std::string name);

/// Packed uint8: `rows` x `cols` weights, one scale. `scale_divides`: w = fl(1 / weight_scale). Errors: a
/// shape or a scale that cannot be.
Result<CheckpointTensor> packed_from(const SharedShards& shards, const SafetensorsTensor& tensor,
                                     const SafetensorsTensor& scale, bool scale_divides, std::string name,
                                     uint64_t rows, uint64_t cols);

/// Latent weights: trit = clamp(RNE(w * s)), s = fl(1 / max(mean|w|, 1e-5)); the scale is fl(1 / s), rounded
/// to the dtype of the weights as in training. Reads the tensor once when the scale is first needed.
Result<CheckpointTensor> master_from(CheckpointTensor dense);

/// A dense tensor whose values are trits times a scale of the whole matrix, a row, or groups of 256, 128 or
/// 64 columns (TriLM): the same tensor as ternary; otherwise the tensor as it is. Reads rows until it knows.
Result<CheckpointTensor> ternary_if_by_value(CheckpointTensor dense);

/// MLX affine words with bias = -scale (2 bits) or -scale/2 (1 bit). Errors: kUnsupported where a group is
/// not ternary, kCorrupt where shapes do not fit.
Result<CheckpointTensor> mlx_from(const SharedShards& shards, const SafetensorsTensor& words,
                                  const SafetensorsTensor& scales, const SafetensorsTensor& biases,
                                  uint32_t bits, uint32_t group, std::string name);

/// A tensor's single number. Errors: more than one element, no float.
Result<float> single_value(const SafetensorsTensor& tensor);

}  // namespace tern
