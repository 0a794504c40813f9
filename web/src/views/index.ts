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
    about: "The network from the image at the top to its answer at the bottom: choose a layer to see what it learned.",
    component: () => import("./Network/Network.svelte"),
  },
  training: {
    title: "Training",
    about: "How the network learned, epoch by epoch (an epoch is one pass over all training images), and with which settings.",
    component: () => import("./Training/Training.svelte"),
  },
  segmentation: {
    title: "Segmentation",
    about: "What the network sees at each pixel, beside what is there: click a region to see why it was named so.",
    component: () => import("./Segmentation/Segmentation.svelte"),
  },
  reconstruction: {
    title: "Reconstruction",
    about: "What goes in and what comes out: add noise, turn the code by hand, and go from one image to another.",
    component: () => import("./Reconstruction/Reconstruction.svelte"),
  },
  compare: {
    title: "Compare",
    about: "Two networks on the same images: who is right, where they disagree, where each looks, and how alike their layers are.",
    component: () => import("./Compare/Compare.svelte"),
  },
};
