/** All views: title, what they show in one sentence, and their component, loaded when first opened; the usual one is there. */
import type { Component } from "svelte";
import type { ViewName } from "../api/types";
import Embedding from "./Embedding/Embedding.svelte";

export type View = {
  title: string;
  about: string;
  component: () => Promise<{ default: Component }>;
};

export const VIEWS: Record<ViewName, View> = {
  embedding: {
    title: "Embedding",
    about: "Each point is an image; images that look alike to a layer lie close together. Click a point to see where the network looks; move through the layers to see the classes separate.",
    component: async () => ({ default: Embedding }),
  },
  image: {
    title: "Image",
    about: "What the model predicts for one image, and where each layer looks.",
    component: () => import("./Image/Image.svelte"),
  },
  edit: {
    title: "Edit",
    about: "Cover or paint over a part of the image and watch the prediction: does the model really use the place that the map shows?",
    component: () => import("./Edit/Edit.svelte"),
  },
  mistakes: {
    title: "Mistakes",
    about: "Which classes the model confuses, its most confident mistakes, and labels that may be wrong.",
    component: () => import("./Mistakes/Mistakes.svelte"),
  },
  channels: {
    title: "Channels",
    about: "What each channel of a layer has learned: the images that activate it most, the classes it distinguishes, and what the network loses without it.",
    component: () => import("./Channels/Channels.svelte"),
  },
  network: {
    title: "Network",
    about: "The layers from the image (top) to the answer (bottom). Choose one to see its embedding, channels and maps.",
    component: () => import("./Network/Network.svelte"),
  },
  training: {
    title: "Training",
    about: "How the network learned, epoch by epoch (an epoch is one pass over all training images), and with which settings.",
    component: () => import("./Training/Training.svelte"),
  },
  segmentation: {
    title: "Segmentation",
    about: "What the network finds at each pixel, next to the truth. Click a region to see why it got that class.",
    component: () => import("./Segmentation/Segmentation.svelte"),
  },
  reconstruction: {
    title: "Reconstruction",
    about: "What goes in and what comes out: add noise, change the code by hand, or blend one image into another.",
    component: () => import("./Reconstruction/Reconstruction.svelte"),
  },
  compare: {
    title: "Compare",
    about: "Two networks on the same images: which is right more often, where they disagree, where each looks, and how similar their layers are.",
    component: () => import("./Compare/Compare.svelte"),
  },
};
