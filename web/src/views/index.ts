/** All views: title, what they show in one sentence, and their component, loaded when first opened. */
import type { Component } from "svelte";
import type { ViewName } from "../api/types";

export type View = {
  title: string;
  about: string;
  component: () => Promise<{ default: Component }>;
};

export const VIEWS: Record<ViewName, View> = {
  embedding: {
    title: "Embedding",
    about: "Each point is an image; images that a layer takes for alike lie close together. Move through the layers to see the classes come apart.",
    component: () => import("./Embedding/Embedding.svelte"),
  },
  image: {
    title: "Image",
    about: "What the model says of one image, and where it looks at each layer.",
    component: () => import("./Image/Image.svelte"),
  },
  edit: {
    title: "Edit",
    about: "Erase or paint on an image and see whether the prediction follows: the test of a map.",
    component: () => import("./Edit/Edit.svelte"),
  },
  mistakes: {
    title: "Mistakes",
    about: "Which classes are taken for which, the most confident mistakes, and labels that may be wrong.",
    component: () => import("./Mistakes/Mistakes.svelte"),
  },
  network: {
    title: "Network",
    about: "The network layer by layer: sizes, parameters, work, and how well each layer's features tell the classes apart.",
    component: () => import("./Network/Network.svelte"),
  },
  training: {
    title: "Training",
    about: "How the training went, epoch by epoch, and with which settings.",
    component: () => import("./Training/Training.svelte"),
  },
  segmentation: {
    title: "Segmentation",
    about: "Each pixel's true class beside the predicted one, worst images first.",
    component: () => import("./Segmentation/Segmentation.svelte"),
  },
  reconstruction: {
    title: "Reconstruction",
    about: "What goes in, what comes out, and what the code's dimensions mean.",
    component: () => import("./Reconstruction/Reconstruction.svelte"),
  },
  compare: {
    title: "Compare",
    about: "Two networks on the same images: where they disagree, and how alike their layers are.",
    component: () => import("./Compare/Compare.svelte"),
  },
};
