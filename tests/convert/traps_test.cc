// SPDX-License-Identifier: MIT
// The known traps of docs/traps.md, one by one: either the right thing happens, or one sentence names the way
// out. And bad input of every kind: wrong paths, cut shards, an index that names what is not there, hostile
// JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/convert/convert_fixture.h"
#include "tests/test_data.h"

namespace tern::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A small model as a directory that a test then spoils.
class Trap : public ::testing::Test {
 protected:
  HfDirectory directory(const char* shape, HfStorage storage = HfStorage::kPackedMultiply) {
    TestModel model = random_model(*find_shape(shape), 11);
    model.vocabulary = {};
    HfOptions options;
    options.storage = storage;
    return hf_directory(model, options);
  }
  /// Writes the directory and converts it; "" where that worked.
  std::string try_it(const HfDirectory& directory, const ConvertOptions& options = convert_options()) {
    const std::string path = folder_.file("hf" + std::to_string(++count_));
    directory.write(path);
    const std::string target = folder_.file("out" + std::to_string(count_) + ".gguf");
    const std::string message = convert(path, target, options);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_EQ(fs::exists(target), message.empty());
    EXPECT_FALSE(fs::exists(target + ".partial"));
    return message;
  }
  TempFolder folder_;
  int count_ = 0;
};

// ---- direction of weight_scale

TEST_F(Trap, ScaleDirectionThatCannotBeIsRefused) {
  HfDirectory d = directory("llama-ternary-small", HfStorage::kPackedDivide);
  d.config["quantization_config"]["linear_class"] = "autobitlinear";  // but the values are reciprocals: tens
  EXPECT_THAT(try_it(d), HasSubstr("--weight-scale"));
  ConvertOptions decided = convert_options();
  decided.import.scale_divides = true;
  EXPECT_EQ(try_it(d, decided), "");
}

TEST_F(Trap, ScaleDirectionThatNobodySaysIsRefused) {
  HfDirectory d = directory("tiny");
  d.config["quantization_config"].erase("linear_class");
  EXPECT_THAT(try_it(d), HasSubstr("--weight-scale"));
}

TEST_F(Trap, MissingLinearClassWithScalesThatOnlyDivideIsTaken) {
  HfDirectory d = directory("llama-ternary-small", HfStorage::kPackedDivide);
  d.config["quantization_config"].erase("linear_class");
  EXPECT_EQ(try_it(d), "");
}

// ---- the head

TEST_F(Trap, UntiedHeadThatIsMissing) {
  HfDirectory d = directory("llama-ternary-small");
  d.tensors.erase("lm_head.weight");
  EXPECT_THAT(try_it(d), HasSubstr("tie_word_embeddings"));
}

TEST_F(Trap, TiedHeadThatDiffers) {
  HfDirectory d = directory("tiny");
  d.tensors["lm_head.weight"] = d.tensors.at("model.embed_tokens.weight");
  EXPECT_EQ(try_it(d), "") << "an equal copy is harmless";
  d.tensors["lm_head.weight"].bytes[5] ^= 1;
  EXPECT_THAT(try_it(d), HasSubstr("tie_word_embeddings"));
}

// ---- configuration

TEST_F(Trap, MissingActivation) {
  HfDirectory d = directory("tiny");
  d.config.erase("hidden_act");
  EXPECT_THAT(try_it(d), HasSubstr("--hidden-act"));
}

TEST_F(Trap, RefusedArchitecturesSayWhy) {
  HfDirectory d = directory("tiny");
  d.config["architectures"] = {"Gemma3ForCausalLM"};
  EXPECT_THAT(try_it(d), HasSubstr("Gemma backbone"));
  d.config["architectures"] = {"MambaForCausalLM"};
  EXPECT_THAT(try_it(d), HasSubstr("BitNetForCausalLM"));
}

TEST_F(Trap, HadamardRotation) {
  HfDirectory d = directory("tiny");
  d.config["hadamard_size"] = 1024;
  EXPECT_THAT(try_it(d), HasSubstr("Hadamard"));
}

TEST_F(Trap, OtherQuantisation) {
  HfDirectory d = directory("tiny");
  d.config["quantization_config"] = {{"quant_method", "gptq"}};
  EXPECT_THAT(try_it(d), HasSubstr("gptq"));
}

// ---- types

TEST_F(Trap, WidthsThatABlockDoesNotDivide) {
  EXPECT_THAT(try_it(directory("bitnet-odd"), with_type("i2_s")),
              HasSubstr("no multiple of 128; types that hold it: iq1_bn"));
  EXPECT_EQ(try_it(directory("bitnet-ragged")), "") << "auto finds the order by four rows";
}

TEST_F(Trap, LossNeedsPermission) {
  ConvertOptions q8 = convert_options();
  q8.target.head = "q8_0";
  EXPECT_THAT(try_it(directory("tiny"), q8), HasSubstr("--lossy"));
  q8.target.lossy = true;
  EXPECT_EQ(try_it(directory("tiny"), q8), "");
  EXPECT_THAT(try_it(directory("tiny"), with_type("f16")), HasSubstr("--lossy"));
  EXPECT_THAT(try_it(directory("tiny"), with_type("q9_k")), HasSubstr("expected auto"));
}

TEST_F(Trap, OneBitTypesHoldNoZeros) {
  EXPECT_THAT(try_it(directory("tiny"), with_type("q1_0", true)),
              HasSubstr("q1_0 holds weights -1 and +1, found 0"));
}

// ---- files

TEST_F(Trap, Paths) {
  const std::string there = folder_.file("there");
  directory("tiny").write(there);
  EXPECT_THAT(convert(folder_.file("nothing"), folder_.file("x.gguf")), HasSubstr("does not exist"));
  EXPECT_THAT(convert(there, there + "/x.gguf"), HasSubstr("inside the source"));
  EXPECT_THAT(convert(there, folder_.file("no/x.gguf")), HasSubstr("folder of"));
  EXPECT_EQ(convert(there, folder_.file("x.gguf")), "");
  EXPECT_THAT(convert(there, folder_.file("x.gguf")), HasSubstr("--force"));
  ConvertOptions force = convert_options();
  force.force = true;
  EXPECT_EQ(convert(there, folder_.file("x.gguf"), force), "");
  EXPECT_THAT(convert(folder_.file("x.gguf"), folder_.file("x.gguf"), force), HasSubstr("inside the source"));
}

TEST_F(Trap, PicklesAreRefused) {
  const std::string path = folder_.file("pickle");
  directory("tiny").write(path);
  fs::rename(path + "/model.safetensors", path + "/pytorch_model.bin");
  EXPECT_THAT(convert(path, folder_.file("x.gguf")), HasSubstr("pickles"));
}

TEST_F(Trap, CutShard) {
  HfDirectory d = directory("tiny");
  d.shards = 2;
  d.write(folder_.file("cut"));
  const std::string shard = folder_.file("cut/model-1.safetensors");
  fs::resize_file(shard, fs::file_size(shard) - 10);
  EXPECT_THAT(convert(folder_.file("cut"), folder_.file("x.gguf")), HasSubstr("model-1.safetensors"));
  fs::remove(shard);
  EXPECT_THAT(convert(folder_.file("cut"), folder_.file("x.gguf")), HasSubstr("model-1.safetensors"));
}

TEST_F(Trap, IndexThatLies) {
  HfDirectory d = directory("tiny");
  d.shards = 2;
  const auto with_index = [&](const std::string& name, const std::string& file) {
    const std::string path = folder_.file("index" + std::to_string(++count_));
    d.write(path);
    std::ofstream(path + "/model.safetensors.index.json")
        << "{\"weight_map\": {\"" << name << "\": \"" << file << "\"}}";
    return convert(path, folder_.file("x.gguf"));
  };
  EXPECT_THAT(with_index("model.norm.weight", "../secret.safetensors"), HasSubstr("not the name of a file"));
  EXPECT_THAT(with_index("model.norm.weight", "/etc/passwd"), HasSubstr("not the name of a file"));
  EXPECT_THAT(with_index("model.norm.weight", ".."), HasSubstr("not the name of a file"));
  EXPECT_THAT(with_index("no.such.tensor", "model-0.safetensors"), HasSubstr("where it is not"));
  EXPECT_THAT(with_index("a", "absent.safetensors"), HasSubstr("absent.safetensors"));
}

TEST_F(Trap, ForeignAndMissingTensors) {
  HfDirectory d = directory("tiny");
  d.tensors["model.layers.0.self_attn.q_proj.bias"] = {"F32", {128}, std::string(512, '\0')};
  EXPECT_THAT(try_it(d), HasSubstr("q_proj.bias"));
  d = directory("tiny");
  d.tensors.erase("model.layers.1.mlp.up_proj.weight_scale");
  EXPECT_THAT(try_it(d), HasSubstr("weight_scale' is missing"));
  d = directory("tiny");
  d.tensors.erase("model.layers.1.post_attention_layernorm.weight");
  EXPECT_THAT(try_it(d), HasSubstr("post_attention_layernorm"));
  d = directory("tiny");
  d.config["num_hidden_layers"] = 3;
  EXPECT_THAT(try_it(d), HasSubstr("model.layers.2"));
  d.config["num_hidden_layers"] = 16000;
  EXPECT_THAT(try_it(d), HasSubstr("num_hidden_layers"));
}

TEST_F(Trap, IllegalCodesAndScales) {
  HfDirectory d = directory("tiny");
  d.tensors.at("model.layers.0.mlp.up_proj.weight").bytes[17] = '\xff';
  EXPECT_THAT(try_it(d), HasSubstr("ffn_up"));
  for (const float bad : {0.0f, -1.0f, INFINITY, NAN}) {
    d = directory("tiny");
    std::memcpy(d.tensors.at("model.layers.0.mlp.up_proj.weight_scale").bytes.data(),
                reinterpret_cast<const char*>(&bad) + 2, 2);  // the upper half of a float is its bf16
    EXPECT_NE(try_it(d), "") << bad;
  }
}

TEST_F(Trap, HostileJson) {
  const std::string path = folder_.file("json");
  directory("tiny").write(path);
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("\xff\xfe"), std::string(""),
        std::string(100000, '['), std::string("{\"architectures\": 7}"),
        std::string("{\"architectures\": [\"BitNetForCausalLM\"], \"hidden_size\": -5}")}) {
    std::ofstream(path + "/config.json") << text;
    const std::string message = convert(path, folder_.file("x.gguf"));
    EXPECT_THAT(message, HasSubstr("config.json")) << text.substr(0, 40);
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

// ---- byte order of I2_S

TEST_F(Trap, ByteOrderOfATrainedModel) {
  TERN_REQUIRE_DATA(path, "models/bitllama2_3M_msb.bin");
  auto model = import_bitllama2(path.string(), true);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto vocabulary =
      import_llama2c_vocabulary((path.parent_path() / "tok512.bin").string(), model->shape.vocab);
  ASSERT_TRUE(vocabulary.ok());
  model->vocabulary = *vocabulary;
  for (const char* name : {"i2_s", "i2_s-arm-64", "i2_s-x86-1x4"}) {
    GgufOptions options;
    options.container = *find_container(name);
    if (!can_hold(options.container, *model)) continue;
    GgufContents contents = gguf_contents(*model, options);
    contents.remove_key("tern.i2_s.order");  // as a foreign file
    const std::string file = folder_.file(std::string(name) + ".gguf");
    ASSERT_TRUE(write_contents(contents, file).ok());
    const std::string message = convert(file, folder_.file(std::string(name) + "-out.gguf"));
    if (options.container.layout.i2s_order == I2sOrder::kX86_128) {
      EXPECT_EQ(message, "");
      continue;
    }
    const std::string order = std::string(name).substr(5);
    EXPECT_THAT(message, HasSubstr("--i2s-order " + order));
    ConvertOptions decided = convert_options();
    decided.import.i2s_order = options.container.layout.i2s_order;
    EXPECT_EQ(convert(file, folder_.file(std::string(name) + "-out.gguf"), decided), "");
    expect_same_numbers(folder_.file("i2_s-out.gguf"), folder_.file(std::string(name) + "-out.gguf"));
  }
}

TEST_F(Trap, ByteOrderOfARandomModelIsNotDoubted) {
  const TestModel model = random_model(*find_shape("tiny"), 2);
  for (const char* name : {"i2_s", "i2_s-arm-64"}) {
    GgufOptions options;
    options.container = *find_container(name);
    GgufContents contents = gguf_contents(model, options);
    contents.remove_key("tern.i2_s.order");
    ASSERT_TRUE(write_contents(contents, folder_.file("r.gguf")).ok());
    EXPECT_EQ(convert(folder_.file("r.gguf"), folder_.file(std::string(name) + ".gguf")), "");
  }
}

// ---- text

TEST_F(Trap, VocabularyLongerThanTheEmbedding) {
  const TestModel model = random_model(*find_shape("tiny"), 2);
  GgufContents contents = gguf_contents(model, {});
  auto& tokens = std::get<std::vector<std::string>>(*contents.find_key("tokenizer.ggml.tokens"));
  auto& types = std::get<std::vector<int32_t>>(*contents.find_key("tokenizer.ggml.token_type"));
  tokens.push_back("beyond");
  types.push_back(1);
  ASSERT_TRUE(write_contents(contents, folder_.file("long.gguf")).ok());
  EXPECT_THAT(convert(folder_.file("long.gguf"), folder_.file("out.gguf")), HasSubstr("--no-tokenizer"));
  ConvertOptions without = convert_options();
  without.import.drop_text = true;
  EXPECT_EQ(convert(folder_.file("long.gguf"), folder_.file("out.gguf"), without), "");
}

TEST_F(Trap, TemplateWhoseStopTokensDoNotExist) {
  const TestModel model = random_model(*find_shape("tiny"), 2);
  GgufContents contents = gguf_contents(model, {});
  contents.set(
      "tokenizer.chat_template",
      std::string("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
                  "{% endfor %}"));
  ASSERT_TRUE(write_contents(contents, folder_.file("t.gguf")).ok());
  EXPECT_THAT(convert(folder_.file("t.gguf"), folder_.file("out.gguf")), HasSubstr("--chat-template drop"));
  for (const char* choice : {"drop", "keep"}) {
    ConvertOptions options = convert_options();
    options.import.chat_template = choice;
    const std::string target = folder_.file(std::string(choice) + ".gguf");
    EXPECT_EQ(convert(folder_.file("t.gguf"), target, options), "");
    EXPECT_EQ(metadata_of(target).count("tokenizer.chat_template"), choice == std::string("keep") ? 1u : 0u);
  }
}

}  // namespace
}  // namespace tern::test
