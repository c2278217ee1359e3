// SPDX-License-Identifier: Apache-2.0
// The families of models, a line for each file NAME.cpp, which defines `ModelFamily NAME_family()`.
BITCYCLE_MODEL(resnet)
BITCYCLE_MODEL(mobilenet_v2)
BITCYCLE_MODEL(imagenet_resnet)
BITCYCLE_MODEL(ptb_lstm)
BITCYCLE_MODEL(transformer_lm)
BITCYCLE_MODEL(transformer_wiki103)
