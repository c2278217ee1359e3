# SPDX-License-Identifier: Apache-2.0
# Tests that take longest, with their seconds: ctest starts them first, so that none of them runs alone at the end. The
# tests themselves are found when their programs are built, so that ctest reads this file after it knows them. Those of
# other folders have it where they are added. Where ctest has run before, it goes by its own records as well.
foreach(test IN ITEMS
    "43 cuda_on_host.DeviceTraining.QuickstartHasTheDigestsOfTheCpu"
    "27 cuda_on_host.Overflow.error_pass_reductions_above_the_int32_limits_are_exact"
    "22 TrainingDigest.Of30StepsIsTheSameOnEveryInstructionSetAtEveryNumberOfThreads"
    "17 cuda_on_host.Backends/NetworkReplay.StepOfResNet18/cuda_on_host"
    "12 cuda_on_host.CudaOnHostTraining.Resnet20Cpt3To8For3StepsHasTheDigestOfTheCpu"
    "12 cuda_on_host.Overflow.forward_reductions_above_the_int32_limits_are_exact"
    "12 cuda_on_host.CudaOnHostTraining.HasTheDigestOfTheReferenceOnAnyGridInAnyOrder"
    "11 cuda_on_host.CudaOnHostTraining.HasTheSameDigestInManyOrdersOfBranches"
    "10 cuda_on_host.DeviceTraining.MobileNetV2HasTheDigestOfTheCpu"
    "10 cuda_on_host.Shapes/DeviceStep.EveryWidthEqualsTheReference/stage3"
    "9 cuda_on_host.Backends/NetworkReplay.StepOfMobileNetV2/cuda_on_host"
    "9 cuda_on_host.DeviceTraining.HasTheDigestOfTheReferenceWithBothErrorWeights"
    "8 TrainingDigest.DependsOnTheSeedTheScheduleAndTheErrorWeights"
    "8 cuda_on_host.CudaOnHostTraining.AccessesOfAStepAreCountedByKernel"
    "8 cuda_on_host.Cases/DeviceWidths.TrainToTheBitsOfTheReference/gradient_32"
    "7 cuda_on_host.Cases/DeviceWidths.TrainToTheBitsOfTheReference/float32"
    "6 cuda_on_host.DeviceTraining.TheTrainersFilesAreThoseOfTheCpu"
    "6 cuda_on_host.Cases/DeviceWidths.TrainToTheBitsOfTheReference/float32_gradient")
  string(REGEX MATCH "^[0-9]+" seconds "${test}")
  string(REGEX REPLACE "^[0-9]+ " "" test "${test}")
  set_tests_properties("${test}" PROPERTIES COST ${seconds})
endforeach()
