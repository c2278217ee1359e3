# SPDX-License-Identifier: Apache-2.0
# Tests that take longest, with their seconds: ctest starts them first, so that none of them runs alone at the end. The
# tests themselves are found when their programs are built, so that ctest reads this file after it knows them. Those of
# other folders have it where they are added. Where ctest has run before, it goes by its own records as well.
foreach(test IN ITEMS
    "75 cuda_on_host.DeviceTraining.QuickstartHasTheDigestsOfTheCpu"
    "40 cuda_on_host.Overflow.error_pass_reductions_above_the_int32_limits_are_exact"
    "35 TrainingDigest.Of30StepsIsTheSameOnEveryInstructionSetAtEveryNumberOfThreads"
    "33 cuda_on_host.Shapes/DeviceStep.EveryWidthEqualsTheReference/stage3"
    "32 cuda_on_host.CudaOnHostTraining.HasTheSameDigestInManyOrdersOfBranches"
    "30 cuda_on_host.CudaOnHostTraining.Resnet20Cpt3To8For3StepsHasTheDigestOfTheCpu"
    "20 cuda_on_host.Shapes/DeviceStep.EveryWidthEqualsTheReference/channels_above_64"
    "18 cuda_on_host.CudaOnHostTraining.HasTheDigestOfTheReferenceOnAnyGridInAnyOrder"
    "16 cuda_on_host.CudaOnHostTraining.AccessesOfAStepAreCountedByKernel"
    "16 cuda_on_host.Cases/DeviceWidths.TrainToTheBitsOfTheReference/gradient_32"
    "15 cuda_on_host.DeviceTraining.HasTheDigestOfTheReferenceWithBothErrorWeights"
    "15 cuda_on_host.Cases/DeviceWidths.TrainToTheBitsOfTheReference/wide_8_to_32"
    "14 cuda_on_host.Shapes/DeviceStep.EveryWidthEqualsTheReference/stage2"
    "13 cuda_on_host.Overflow.forward_reductions_above_the_int32_limits_are_exact"
    "12 cuda_on_host.DeviceTraining.TheTrainersFilesAreThoseOfTheCpu"
    "10 TrainingDigest.DependsOnTheSeedTheScheduleAndTheErrorWeights")
  string(REGEX MATCH "^[0-9]+" seconds "${test}")
  string(REGEX REPLACE "^[0-9]+ " "" test "${test}")
  set_tests_properties("${test}" PROPERTIES COST ${seconds})
endforeach()
